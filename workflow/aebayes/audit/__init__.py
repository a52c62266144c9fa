"""From every number back to the bytes that it came from: manifests, and audits by them."""
