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

  /// A port of a virtual machine or its host; both numbers are unsigned 32 bit.
  record Vsock(long cid, long port) implements NbdEndpoint {
    @Override
    public String toString() {
      return "vsock:" + cid + ":" + port;
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
