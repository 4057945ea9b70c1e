"""HTTP: routes, guards and the life of the web server."""
