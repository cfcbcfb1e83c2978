"""Front ends: model files of other frameworks into a `Module`."""
