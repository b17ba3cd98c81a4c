package io.ublkbridge.nbd;

import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// What a URI and the command's options say about TLS. Names files, and holds no secret.
///
/// The parameters are those of the NBD URI specification (`tls-type`, `tls-hostname`,
/// `tls-verify-peer`) and libnbd's (`tls-certificates`, `tls-psk-file`).
///
/// @param type how the two sides prove themselves, if it is said in so many words
/// @param user the name that goes with the pre-shared key
/// @param certificates the directory of the certificates, or empty for the system's CAs
/// @param pskFile the file of the pre-shared keys
/// @param hostname whom the server's certificate must be for, if not for the host of the URI
/// @param verifyPeer false only if somebody has asked for that
/// @param recordsInKernel whether the kernel may make and open the records, where it can
record TlsSettings(
    Optional<Mode> type,
    Optional<String> user,
    Optional<Path> certificates,
    Optional<Path> pskFile,
    Optional<String> hostname,
    boolean verifyPeer,
    boolean recordsInKernel) {
  /// How the two sides prove themselves.
  enum Mode {
    X509,
    PSK
  }

  private static final String TYPE = "tls-type";
  private static final String VERIFY_PEER = "tls-verify-peer";
  private static final String CERTIFICATES = "tls-certificates";
  private static final String PSK_FILE = "tls-psk-file";
  private static final String HOSTNAME = "tls-hostname";
  private static final String RECORDS = "tls-records";

  /// The URI's parameters.
  static final List<String> PARAMETERS =
      List.of(TYPE, HOSTNAME, VERIFY_PEER, CERTIFICATES, PSK_FILE);

  /// The command's options, most of which are parameters too.
  private static final List<String> OPTIONS = List.of(CERTIFICATES, PSK_FILE, HOSTNAME, RECORDS);

  /// Reads the parameters of a URI.
  ///
  /// @param parameters decoded; others than [#PARAMETERS] are ignored
  /// @param user the URI's user information, decoded, or null if it has none
  static TlsSettings of(Map<String, String> parameters, @Nullable String user)
      throws TargetOpenException {
    if (user != null && (user.isEmpty() || user.indexOf('\0') >= 0)) {
      throw invalid("the URI's user name is not one", "write it in front of the '@', or remove it");
    }
    Optional<Mode> type = Optional.empty();
    if (parameters.containsKey(TYPE)) {
      type = Optional.of(mode(parameters.getOrDefault(TYPE, "")));
    }
    String verify = parameters.getOrDefault(VERIFY_PEER, "1");
    if (!verify.equals("0") && !verify.equals("1")) {
      throw invalid(
          "'tls-verify-peer' is 0 or 1, not '" + ServerText.clean(verify) + "'",
          "remove it to verify who the server is");
    }
    return new TlsSettings(
        type,
        Optional.ofNullable(user),
        path(parameters, CERTIFICATES),
        path(parameters, PSK_FILE),
        hostname(parameters),
        verify.equals("1"),
        recordsInKernel(parameters.getOrDefault(RECORDS, "kernel")));
  }

  private static boolean recordsInKernel(String who) throws TargetOpenException {
    if (!who.equals("kernel") && !who.equals("process")) {
      throw invalid(
          "--tls-records is kernel or process, not '" + ServerText.clean(who) + "'",
          "remove it to have the kernel do it where it can");
    }
    return who.equals("kernel");
  }

  private static Mode mode(String type) throws TargetOpenException {
    return switch (type) {
      case "x509" -> Mode.X509;
      case "psk" -> Mode.PSK;
      case "anon" ->
          throw invalid(
              "'tls-type=anon' is not supported: it keeps nobody from sitting in the middle",
              "use certificates (x509) or a pre-shared key (psk)");
      default ->
          throw invalid(
              "'tls-type' is x509 or psk, not '" + ServerText.clean(type) + "'",
              "remove it to use what the files are for");
    };
  }

  private static Optional<Path> path(Map<String, String> parameters, String key)
      throws TargetOpenException {
    String text = parameters.get(key);
    if (text == null) {
      return Optional.empty();
    }
    if (text.isEmpty()) {
      throw invalid("'" + key + "' is empty", "write a path");
    }
    try {
      return Optional.of(Path.of(text));
    } catch (InvalidPathException e) {
      throw new TargetOpenException(
          Reason.INVALID, "'" + key + "' is not a path", "write a path", e);
    }
  }

  private static Optional<String> hostname(Map<String, String> parameters)
      throws TargetOpenException {
    String name = parameters.get(HOSTNAME);
    if (name == null) {
      return Optional.empty();
    }
    if (name.isEmpty() || !name.equals(ServerText.clean(name)) || name.indexOf(' ') >= 0) {
      throw invalid("'tls-hostname' is not a host's name", "write db1.example.org, for example");
    }
    return Optional.of(name);
  }

  /// These settings with every path completed from the current directory.
  TlsSettings absolute() {
    return new TlsSettings(
        type,
        user,
        certificates.map(Path::toAbsolutePath),
        pskFile.map(Path::toAbsolutePath),
        hostname,
        verifyPeer,
        recordsInKernel);
  }

  /// These settings with the command's options; what both say must be the same.
  TlsSettings with(OpenContext context) throws TargetOpenException {
    Map<String, String> options = options(context);
    TlsSettings given = of(options, null);
    return new TlsSettings(
        type,
        user,
        merged(CERTIFICATES, certificates, given.certificates),
        merged(PSK_FILE, pskFile, given.pskFile),
        merged(HOSTNAME, hostname, given.hostname),
        verifyPeer,
        given.recordsInKernel);
  }

  /// Refuses options about TLS for a URI that never uses it.
  static void refuse(String scheme, OpenContext context) throws TargetOpenException {
    for (String option : options(context).keySet()) {
      throw invalid(
          "--" + option + " is about TLS, which " + scheme + ": never uses",
          "write nbds" + scheme.substring("nbd".length()) + ":, or remove the option");
    }
  }

  private static Map<String, String> options(OpenContext context) {
    Map<String, String> options = new LinkedHashMap<>();
    for (String option : OPTIONS) {
      context.option(option).ifPresent(value -> options.put(option, value));
    }
    return options;
  }

  private static <T> Optional<T> merged(String name, Optional<T> uri, Optional<T> option)
      throws TargetOpenException {
    if (uri.isPresent() && option.isPresent() && !uri.equals(option)) {
      throw invalid(
          "--" + name + " and the URI's '" + name + "' are not the same", "give only one of them");
    }
    return option.isPresent() ? option : uri;
  }

  /// What was asked for, in so many words or by naming a file of keys.
  Mode mode() {
    return type.orElse(pskFile.isPresent() ? Mode.PSK : Mode.X509);
  }

  /// Whom the server's certificate must be for: a host's name or its address.
  Optional<String> peerName(NbdEndpoint endpoint) {
    if (hostname.isPresent()) {
      return hostname;
    }
    return switch (endpoint) {
      // A zone is this machine's business; no certificate names it.
      case NbdEndpoint.Tcp(String host, int _) -> Optional.of(host.replaceFirst("%.*", ""));
      case NbdEndpoint.Unix _, NbdEndpoint.Vsock _ -> Optional.empty();
    };
  }

  /// Checks that the settings fit together, and are enough to know the server behind `endpoint`.
  void check(NbdEndpoint endpoint) throws TargetOpenException {
    if (mode() == Mode.PSK) {
      checkPsk();
      return;
    }
    if (pskFile.isPresent()) {
      throw invalid("'tls-type=x509' and a file of pre-shared keys contradict", "remove one");
    }
    if (user.isPresent()) {
      throw invalid(
          "the URI names a user, which means a pre-shared key, but no file that holds it",
          "add --tls-psk-file FILE, or remove the part before '@'");
    }
    if (verifyPeer && peerName(endpoint).isEmpty()) {
      throw invalid(
          "a socket's path does not tell whom the server's certificate must be for",
          "add --tls-hostname NAME, or use a pre-shared key (--tls-psk-file FILE)");
    }
  }

  private void checkPsk() throws TargetOpenException {
    if (pskFile.isEmpty()) {
      throw invalid("'tls-type=psk' needs a file of keys", "add --tls-psk-file FILE");
    }
    if (certificates.isPresent()) {
      throw invalid(
          "a pre-shared key and certificates exclude each other",
          "name either a file of keys or a directory of certificates");
    }
    if (hostname.isPresent() || !verifyPeer) {
      throw invalid(
          "'"
              + (hostname.isPresent() ? HOSTNAME : VERIFY_PEER)
              + "' is about certificates; a pre-shared key always proves both sides",
          "remove it");
    }
  }

  /// What [#of] makes the same settings from, except for the user.
  Map<String, String> parameters() {
    Map<String, String> parameters = new LinkedHashMap<>();
    type.ifPresent(mode -> parameters.put(TYPE, mode == Mode.PSK ? "psk" : "x509"));
    certificates.ifPresent(path -> parameters.put(CERTIFICATES, path.toString()));
    pskFile.ifPresent(path -> parameters.put(PSK_FILE, path.toString()));
    hostname.ifPresent(name -> parameters.put(HOSTNAME, name));
    if (!verifyPeer) {
      parameters.put(VERIFY_PEER, "0");
    }
    return parameters;
  }

  private static TargetOpenException invalid(String message, @Nullable String remedy) {
    return new TargetOpenException(Reason.INVALID, message, remedy);
  }
}
