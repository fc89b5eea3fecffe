"""HTTP: routes, admission and the server itself."""
