"""did:ethr: what an account on a chain says of itself in an ERC-1056 registry."""
