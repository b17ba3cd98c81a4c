package io.ublkbridge.it;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Keys and certificates as people make them, with openssl alone.
///
/// | directory | what a server or client with it has |
/// |---|---|
/// | `good` | our CA and everything that it signed: server, client |
/// | `nobody` | our CA, but no certificate of its own |
/// | `stranger` | our CA, and a client certificate that another CA has signed |
/// | `elsewhere` | another CA |
/// | `expired` | our CA, and a server certificate of the past |
///
/// `good/keys.psk` and `stranger/keys.psk` hold different keys of the user `alice`. Servers'
/// directories hold Diffie-Hellman parameters, which qemu-nbd would make at each start: ten seconds
/// in an emulator.
record TlsFiles(Path root) {
  private static final String SCRIPT =
      """
      mkdir good nobody stranger elsewhere expired
      quiet() { openssl "$@" 2>/dev/null; }
      ca() { quiet req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj "/CN=$2" \\
        -keyout $1/ca-key.pem -out $1/ca-cert.pem; }
      # holder DIRECTORY NAME CA VALIDITY...
      holder() {
        quiet req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \\
          -keyout $1/$2-key.pem -out $1/$2.csr
        echo subjectAltName=DNS:localhost,IP:127.0.0.1 >extensions
        quiet x509 -req -in $1/$2.csr -CA $3/ca-cert.pem -CAkey $3/ca-key.pem -extfile extensions \\
          "${@:4}" -out $1/$2-cert.pem
        chmod 600 $1/$2-key.pem
      }
      ca good 'the CA'
      ca elsewhere 'another CA'
      cp good/ca-cert.pem nobody
      cp good/ca-cert.pem stranger
      cp good/ca-cert.pem expired
      holder good server good -days 9
      holder good client good -days 9
      holder stranger client elsewhere -days 9
      holder expired server good -not_before 20200101000000Z -not_after 20200202000000Z
      quiet genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out good/dh-params.pem
      cp good/dh-params.pem stranger
      cp good/dh-params.pem expired
      umask 077
      echo "alice:$(openssl rand -hex 32)" >good/keys.psk
      echo "alice:$(openssl rand -hex 32)" >stranger/keys.psk
      """;

  static TlsFiles make() {
    try {
      Path root = Files.createTempDirectory("tls");
      Command.shell("cd " + root + "\n" + SCRIPT);
      return new TlsFiles(root);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  Path directory(String name) {
    return root.resolve(name);
  }

  Path keys(String name) {
    return directory(name).resolve("keys.psk");
  }
}
