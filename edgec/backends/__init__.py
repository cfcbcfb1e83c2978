"""Back ends: a `Module` into the bytes of a deployable format."""
