package io.ublkbridge.nbd;

/// Where a server listens.
sealed interface NbdEndpoint {
  /// A TCP port; `host` is a name or an address without brackets.
  record Tcp(String host, int port) implements NbdEndpoint {
    @Override
    public String toString() {
      return (host.contains(":") ? "[" + host + "]" : host) + ":" + port;
    }
  }

  /// A Unix domain socket; a path that starts with NUL is in the abstract name space.
  record Unix(String path) implements NbdEndpoint {
    @Override
    public String toString() {
      return path.replace('\0', '@');
    }
  }
}
