"""The chained files of Energy Web's ew-link-bond: written from the log, and read without trusting them."""
