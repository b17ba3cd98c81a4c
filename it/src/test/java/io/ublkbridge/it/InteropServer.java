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
import java.util.stream.Stream;

/// A real NBD server in one of the ways in which people set it up; with TLS it speaks nothing else.
/// Killed when closed.
///
/// @param authority what goes behind `//` in its URI, less the user
/// @param path what goes behind that: the export, and on a unix socket the query
record InteropServer(NbdServer server, Way way, String authority, String path)
    implements AutoCloseable {
  /// How the two sides prove themselves.
  enum Proof {
    /// Not at all: there is no TLS.
    NONE,
    /// The server has a certificate.
    SERVER_CERTIFICATE,
    /// Both have one.
    BOTH_CERTIFICATES,
    PSK
  }

  /// @param unix whether on a unix socket, else on TCP
  record Way(NbdServer.Kind kind, Proof proof, boolean unix) {
    /// Every way that there is with a server. nbd-server has no keys, and wants a certificate.
    static List<Way> all(NbdServer.Kind kind) {
      List<Proof> proofs =
          kind == NbdServer.Kind.NBD_SERVER
              ? List.of(Proof.NONE, Proof.BOTH_CERTIFICATES)
              : List.of(Proof.values());
      return proofs.stream()
          .flatMap(proof -> Stream.of(new Way(kind, proof, false), new Way(kind, proof, true)))
          .toList();
    }

    @Override
    public String toString() {
      return kind + "-" + proof + (unix ? "-unix" : "-tcp");
    }
  }

  /// @param files a directory of [TlsFiles]
  static InteropServer serve(Way way, Path image, Path files) {
    NbdServer.Kind kind = way.kind();
    Proof proof = way.proof();
    boolean unix = way.unix();
    int port = NbdServer.freePort();
    Path socket = socket();
    List<String> command =
        switch (kind) {
          case NBDKIT -> nbdkit(proof, files, unix ? socket.toString() : "", port);
          case QEMU_NBD -> qemuNbd(proof, files, unix ? socket.toString() : "", port);
          case NBD_SERVER -> nbdServer(proof, files, unix ? socket.toString() : "", port, image);
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
    return new InteropServer(
        NbdServer.start(command, address, ""),
        way,
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
    List<String> command = new ArrayList<>(List.of("nbdkit", "-f"));
    command.addAll(
        socket.isEmpty()
            ? List.of("-i", "127.0.0.1", "-p", Integer.toString(port))
            : List.of("-U", socket));
    command.addAll(
        switch (proof) {
          case NONE -> List.of("--tls=off");
          case SERVER_CERTIFICATE -> List.of("--tls=require", "--tls-certificates=" + files);
          case BOTH_CERTIFICATES ->
              List.of("--tls=require", "--tls-certificates=" + files, "--tls-verify-peer");
          case PSK -> List.of("--tls=require", "--tls-psk=" + files.resolve("keys.psk"));
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
    String credentials =
        switch (proof) {
          case NONE -> "";
          case SERVER_CERTIFICATE -> "tls-creds-x509" + common + ",verify-peer=no";
          case BOTH_CERTIFICATES -> "tls-creds-x509" + common + ",verify-peer=yes";
          case PSK -> "tls-creds-psk" + common;
        };
    if (!credentials.isEmpty()) {
      command.addAll(List.of("--tls-creds", "tls", "--object", credentials));
    }
    return command;
  }

  /// With TLS this server always wants a certificate of its client: it checks what it may not have
  /// been given.
  private static List<String> nbdServer(
      Proof proof, Path files, String socket, int port, Path image) {
    Path config = image.resolveSibling(image.getFileName() + ".conf");
    String tls =
        """
        force_tls = true
        cacertfile = %1$s/ca-cert.pem
        certfile = %1$s/server-cert.pem
        keyfile = %1$s/server-key.pem
        """
            .formatted(files);
    try {
      Files.writeString(
          config,
          """
          [generic]
          %s
          %s
          [disk]
          exportname = %s
          flush = true
          fua = true
          trim = true
          """
              .formatted(
                  socket.isEmpty()
                      ? "listenaddr = 127.0.0.1\nport = " + port
                      : "unixsock = " + socket,
                  proof == Proof.NONE ? "" : tls,
                  image));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return new ArrayList<>(List.of("nbd-server", "-n", "-C", config.toString()));
  }

  /// Its URI, for somebody whom it lets in and who knows it.
  String uri(TlsFiles files) {
    return switch (way.proof()) {
      case NONE -> plainUri();
      case PSK -> uri("alice@", "tls-psk-file=" + files.keys("good"));
      case BOTH_CERTIFICATES ->
          uri("", "tls-certificates=" + files.directory("good") + "&tls-hostname=localhost");
      // By its address.
      case SERVER_CERTIFICATE ->
          uri(
              "",
              "tls-certificates="
                  + files.directory("nobody")
                  + (way.unix() ? "&tls-hostname=127.0.0.1" : ""));
    };
  }

  /// Its URI.
  ///
  /// @param user with an `@`, or empty
  /// @param parameters for the query
  String uri(String user, String parameters) {
    return uri(user) + (way.unix() ? "&" : "?") + parameters;
  }

  /// Its URI without a word about TLS but the scheme.
  String uri(String user) {
    return "nbds" + (way.unix() ? "+unix" : "") + "://" + user + authority + path;
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
