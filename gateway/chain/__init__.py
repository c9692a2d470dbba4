"""What EVM chains are told of the log, and what is heard from them."""
