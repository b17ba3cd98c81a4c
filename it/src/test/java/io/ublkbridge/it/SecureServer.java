package io.ublkbridge.it;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A real NBD server that speaks TLS and nothing else; killed when closed.
///
/// @param authority what goes behind `//` in its URI, less the user
/// @param path what goes behind that: the export, and on a unix socket the query
record SecureServer(NbdServer server, boolean unix, String authority, String path)
    implements AutoCloseable {
  /// How the two sides prove themselves.
  enum Proof {
    /// The server has a certificate.
    SERVER_CERTIFICATE,
    /// Both have one.
    BOTH_CERTIFICATES,
    PSK
  }

  /// @param files a directory of [TlsFiles]
  static SecureServer serve(
      NbdServer.Kind kind, Proof proof, boolean unix, Path image, Path files) {
    int port = NbdServer.freePort();
    Path socket = socket();
    List<String> command =
        switch (kind) {
          case NBDKIT -> nbdkit(proof, files, unix ? socket.toString() : "", port);
          case QEMU_NBD -> qemuNbd(proof, files, unix ? socket.toString() : "", port);
          case NBD_SERVER -> nbdServer(files, unix, socket, port, image);
        };
    if (kind == NbdServer.Kind.NBDKIT) {
      command.add("file");
    }
    if (kind != NbdServer.Kind.NBD_SERVER) {
      command.add(image.toString());
    }
    SocketAddress address =
        unix
            ? UnixDomainSocketAddress.of(socket)
            : new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
    String export = kind == NbdServer.Kind.NBD_SERVER ? "/disk" : "/";
    return new SecureServer(
        NbdServer.start(command, address, ""),
        unix,
        unix ? "" : "127.0.0.1:" + port,
        export + (unix ? "?socket=" + socket : ""));
  }

  private static Path socket() {
    try {
      return Files.createTempDirectory("nbd").resolve("socket");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<String> nbdkit(Proof proof, Path files, String socket, int port) {
    List<String> command = new ArrayList<>(List.of("nbdkit", "-f", "--tls=require"));
    command.addAll(
        socket.isEmpty()
            ? List.of("-i", "127.0.0.1", "-p", Integer.toString(port))
            : List.of("-U", socket));
    command.addAll(
        switch (proof) {
          case SERVER_CERTIFICATE -> List.of("--tls-certificates=" + files);
          case BOTH_CERTIFICATES -> List.of("--tls-certificates=" + files, "--tls-verify-peer");
          case PSK -> List.of("--tls-psk=" + files.resolve("keys.psk"));
        });
    return command;
  }

  private static List<String> qemuNbd(Proof proof, Path files, String socket, int port) {
    List<String> command =
        new ArrayList<>(List.of("qemu-nbd", "-f", "raw", "-t", "-e", "8", "--discard=unmap"));
    command.addAll(
        socket.isEmpty()
            ? List.of("-b", "127.0.0.1", "-p", Integer.toString(port))
            : List.of("-k", socket));
    String common = ",id=tls,endpoint=server,dir=" + files;
    command.addAll(
        List.of(
            "--tls-creds",
            "tls",
            "--object",
            switch (proof) {
              case SERVER_CERTIFICATE -> "tls-creds-x509" + common + ",verify-peer=no";
              case BOTH_CERTIFICATES -> "tls-creds-x509" + common + ",verify-peer=yes";
              case PSK -> "tls-creds-psk" + common;
            }));
    return command;
  }

  /// This server always wants a certificate of its client: it checks what it may not have been
  /// given.
  private static List<String> nbdServer(
      Path files, boolean unix, Path socket, int port, Path image) {
    Path config = socket.resolveSibling("nbd-server.conf");
    try {
      Files.writeString(
          config,
          """
          [generic]
          %s
          force_tls = true
          cacertfile = %s/ca-cert.pem
          certfile = %s/server-cert.pem
          keyfile = %s/server-key.pem
          [disk]
          exportname = %s
          flush = true
          fua = true
          trim = true
          """
              .formatted(
                  unix ? "unixsock = " + socket : "listenaddr = 127.0.0.1\nport = " + port,
                  files,
                  files,
                  files,
                  image));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return new ArrayList<>(List.of("nbd-server", "-n", "-C", config.toString()));
  }

  /// Its URI.
  ///
  /// @param user with an `@`, or empty
  /// @param parameters for the query
  String uri(String user, String parameters) {
    return uri(user) + (unix ? "&" : "?") + parameters;
  }

  /// Its URI without a word about TLS but the scheme.
  String uri(String user) {
    return "nbds" + (unix ? "+unix" : "") + "://" + user + authority + path;
  }

  /// The same server's URI without TLS.
  String plainUri() {
    return uri("").replaceFirst("nbds", "nbd");
  }

  @Override
  public void close() {
    server.close();
  }
}
