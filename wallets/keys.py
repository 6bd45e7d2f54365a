"""Private keys: read by the signer's process and by nothing else (CHAIN 4)."""
