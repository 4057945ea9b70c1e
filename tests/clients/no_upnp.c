/* Debian 12's libnice is linked with libgupnp-igd and, through it, with libsoup 3, which refuses to
   be in one process with the libsoup 2 of whip-client. UPnP is of no use between two programs of one
   machine, so this stands in for the library. */
unsigned long gupnp_simple_igd_get_type(void) { return 80; /* G_TYPE_OBJECT */ }
void *gupnp_simple_igd_thread_new(void) { return 0; }
void gupnp_simple_igd_add_port(void) {}
void gupnp_simple_igd_remove_port_local(void) {}
