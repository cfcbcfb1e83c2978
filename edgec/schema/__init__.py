"""The TFLite file format: its schema as data, and a codec between file bytes and plain Python trees."""
