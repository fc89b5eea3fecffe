"""Object stores: pictures, models and results under URLs, by fsspec."""
