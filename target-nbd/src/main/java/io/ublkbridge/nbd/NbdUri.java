package io.ublkbridge.nbd;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetUri;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// An NBD URI taken apart: where the server is, and which of its exports is meant.
///
/// Follows the spec's `doc/uri.md`, with libnbd's defaults (host `localhost`, port 10809), and
/// libnbd's `nbd+vsock:` (default: the host of this virtual machine), but stricter than libnbd: a
/// query parameter that is not known is an error.
///
/// @param exportName decoded; empty for the server's default export
/// @param tls what is said about TLS, for the `nbds` schemes only: those use it and nothing else,
///   and the others never do
record NbdUri(NbdEndpoint endpoint, String exportName, Optional<TlsSettings> tls) {
  private static final String PLAIN = "nbd";
  private static final String SECURE = "nbds";
  private static final String UNIX = "+unix";
  private static final String VSOCK = "+vsock";
  private static final String SOCKET = "socket";

  /// What a URI's parts may hold as they are (RFC 3986, less than it allows).
  private static final String UNRESERVED = "-._~/";

  /// The host of the virtual machine that this runs in.
  private static final long HOST_CID = 2;

  private static final long VSOCK_ANY = 0xffff_ffffL;

  /// `sun_path` of the kernel's `struct sockaddr_un`, less the final NUL.
  private static final int SOCKET_PATH_BYTES_MAX = 107;

  static NbdUri parse(TargetUri uri) throws TargetOpenException {
    String rest = uri.rest();
    if (!rest.startsWith("//")) {
      throw invalid(
          "'" + uri + "' is not an NBD URI",
          "write nbd://host:port/export or nbd+unix:///export?socket=/path");
    }
    if (rest.indexOf('#') >= 0) {
      throw invalid("an NBD URI has no fragment", "write '#' in an export name as %23");
    }
    int query = rest.indexOf('?');
    String hierarchy = rest.substring(2, query < 0 ? rest.length() : query);
    int slash = hierarchy.indexOf('/');
    String authority = slash < 0 ? hierarchy : hierarchy.substring(0, slash);
    String exportName = slash < 0 ? "" : decode(hierarchy.substring(slash + 1), "export name");
    checkExportName(exportName);
    boolean secure = uri.scheme().startsWith(SECURE);
    int at = authority.lastIndexOf('@');
    if (at >= 0 && !secure) {
      throw invalid(
          "a user name in the URI means TLS with a pre-shared key, and "
              + uri.scheme()
              + ": is plain",
          "write " + SECURE + uri.scheme().substring(PLAIN.length()) + ":");
    }
    String user = at < 0 ? null : decode(authority.substring(0, at), "user name");
    String server = authority.substring(at + 1);
    Map<String, String> parameters = parameters(query < 0 ? "" : rest.substring(query + 1));
    boolean unix = uri.scheme().endsWith(UNIX);
    checkParameters(uri.scheme(), unix, secure, parameters);
    NbdEndpoint endpoint =
        unix
            ? socket(uri.scheme(), server, parameters)
            : uri.scheme().endsWith(VSOCK) ? vsock(server) : tcp(server);
    return new NbdUri(
        endpoint,
        exportName,
        secure ? Optional.of(TlsSettings.of(parameters, user)) : Optional.empty());
  }

  /// This URI with what the command's options say, checked as a whole.
  NbdUri with(OpenContext context) throws TargetOpenException {
    if (tls.isEmpty()) {
      TlsSettings.refuse(scheme(), context);
      return this;
    }
    TlsSettings settings = tls.get().with(context);
    settings.check(endpoint);
    return new NbdUri(endpoint, exportName, Optional.of(settings));
  }

  /// This URI with every path completed from the current directory.
  NbdUri absolute() {
    NbdEndpoint complete =
        endpoint instanceof NbdEndpoint.Unix(String path) && path.charAt(0) != '\0'
            ? new NbdEndpoint.Unix(Path.of(path).toAbsolutePath().toString())
            : endpoint;
    return new NbdUri(complete, exportName, tls.map(TlsSettings::absolute));
  }

  private String scheme() {
    String transport =
        switch (endpoint) {
          case NbdEndpoint.Tcp _ -> "";
          case NbdEndpoint.Unix _ -> UNIX;
          case NbdEndpoint.Vsock _ -> VSOCK;
        };
    return (tls.isPresent() ? SECURE : PLAIN) + transport;
  }

  /// A URI that means the same.
  @Override
  public String toString() {
    String user =
        tls.flatMap(TlsSettings::user)
            .map(name -> encode(name).replace("/", "%2F") + "@")
            .orElse("");
    Map<String, String> parameters = new LinkedHashMap<>();
    String server =
        switch (endpoint) {
          case NbdEndpoint.Tcp(String host, int port) ->
              (host.contains(":") ? "[" + host.replace("%", "%25") + "]" : encode(host))
                  + (port == NbdProtocol.DEFAULT_PORT ? "" : ":" + port);
          case NbdEndpoint.Unix(String path) -> {
            parameters.put(SOCKET, path);
            yield "";
          }
          case NbdEndpoint.Vsock(long cid, long port) ->
              cid + (port == NbdProtocol.DEFAULT_PORT ? "" : ":" + port);
        };
    tls.ifPresent(settings -> parameters.putAll(settings.parameters()));
    String query =
        parameters.entrySet().stream()
            .map(parameter -> parameter.getKey() + "=" + encode(parameter.getValue()))
            .collect(Collectors.joining("&"));
    return scheme()
        + "://"
        + user
        + server
        + "/"
        + encode(exportName)
        + (query.isEmpty() ? "" : "?" + query);
  }

  private static void checkExportName(String exportName) throws TargetOpenException {
    if (exportName.indexOf('\0') >= 0) {
      throw invalid("an export name cannot hold a NUL character", null);
    }
    if (exportName.getBytes(UTF_8).length > NbdProtocol.STRING_BYTES_MAX) {
      throw invalid("the export name is longer than 4096 bytes", null);
    }
  }

  private static void checkParameters(
      String scheme, boolean unix, boolean secure, Map<String, String> parameters)
      throws TargetOpenException {
    for (String key : parameters.keySet()) {
      boolean aboutTls = TlsSettings.PARAMETERS.contains(key);
      if ((unix && key.equals(SOCKET)) || (secure && aboutTls)) {
        continue;
      }
      if (key.equals(SOCKET)) {
        String right = (secure ? SECURE : PLAIN) + UNIX;
        throw invalid(
            "'socket' belongs to " + right + ":, not to " + scheme + ":",
            "write " + right + ":///export?socket=/path");
      }
      if (aboutTls) {
        throw invalid(
            "'" + key + "' is about TLS, which " + scheme + ": never uses",
            "write " + SECURE + scheme.substring(PLAIN.length()) + ":, or remove it");
      }
      List<String> known = new ArrayList<>(TlsSettings.PARAMETERS);
      known.addFirst(SOCKET);
      String nearest = Spelling.nearest(key, known);
      throw invalid(
          "unknown URI parameter '" + ServerText.clean(key) + "'",
          "did you mean '" + nearest + "'?");
    }
  }

  private static NbdEndpoint tcp(String authority) throws TargetOpenException {
    int portColon;
    String host;
    if (authority.startsWith("[")) {
      int bracket = authority.indexOf(']');
      if (bracket < 0) {
        throw invalid("'" + authority + "' has no closing bracket", "write nbd://[::1]:10809/");
      }
      host = authority.substring(1, bracket);
      portColon = bracket + 1;
      if (portColon < authority.length() && authority.charAt(portColon) != ':') {
        throw invalid("'" + authority + "' is not an address and a port", null);
      }
    } else {
      int colon = authority.indexOf(':');
      portColon = colon < 0 ? authority.length() : colon;
      host = authority.substring(0, portColon);
      if (authority.indexOf(':', portColon + 1) >= 0) {
        throw invalid(
            "'" + authority + "' has more than one colon",
            "write an IPv6 address in brackets: nbd://[::1]:10809/");
      }
    }
    String port = portColon >= authority.length() ? "" : authority.substring(portColon + 1);
    String decoded = decode(host, "host");
    return new NbdEndpoint.Tcp(decoded.isEmpty() ? "localhost" : decoded, port(port));
  }

  private static int port(String text) throws TargetOpenException {
    if (text.isEmpty()) {
      return NbdProtocol.DEFAULT_PORT;
    }
    boolean digits = text.length() <= 5 && text.chars().allMatch(c -> c >= '0' && c <= '9');
    int port = digits ? Integer.parseInt(text) : 0;
    if (port < 1 || port > 65535) {
      throw invalid("'" + text + "' is not a port", "a port is a number from 1 to 65535");
    }
    return port;
  }

  private static NbdEndpoint vsock(String authority) throws TargetOpenException {
    int colon = authority.indexOf(':');
    String cid = colon < 0 ? authority : authority.substring(0, colon);
    String port = colon < 0 ? "" : authority.substring(colon + 1);
    return new NbdEndpoint.Vsock(
        cid.isEmpty() ? HOST_CID : vsockNumber(cid),
        port.isEmpty() ? NbdProtocol.DEFAULT_PORT : vsockNumber(port));
  }

  /// A context id or a port; the last number stands for any.
  private static long vsockNumber(String text) throws TargetOpenException {
    boolean digits = text.length() <= 10 && text.chars().allMatch(c -> c >= '0' && c <= '9');
    long number = digits ? Long.parseLong(text) : VSOCK_ANY;
    if (number >= VSOCK_ANY) {
      throw invalid(
          "'" + text + "' is no number of a vsock", "write nbd+vsock://2:10809/ for the host");
    }
    return number;
  }

  private static NbdEndpoint socket(String scheme, String authority, Map<String, String> parameters)
      throws TargetOpenException {
    if (!authority.isEmpty()) {
      throw invalid(
          scheme + ": takes no host, but the URI names '" + authority + "'",
          "write three slashes: " + scheme + ":///export?socket=/path");
    }
    String path = parameters.get(SOCKET);
    if (path == null || path.isEmpty()) {
      throw invalid("the URI names no socket", "write " + scheme + ":///export?socket=/path");
    }
    if (path.indexOf('\0', 1) >= 0) {
      throw invalid("a socket's path cannot hold a NUL character", null);
    }
    if (path.getBytes(UTF_8).length > SOCKET_PATH_BYTES_MAX) {
      throw invalid(
          "the socket's path is longer than " + SOCKET_PATH_BYTES_MAX + " bytes",
          "use a shorter one, or a symbolic link");
    }
    return new NbdEndpoint.Unix(path);
  }

  private static Map<String, String> parameters(String query) throws TargetOpenException {
    Map<String, String> parameters = new HashMap<>();
    for (String parameter : query.split(query.indexOf('&') >= 0 ? "&" : ";", -1)) {
      if (parameter.isEmpty()) {
        continue;
      }
      int equals = parameter.indexOf('=');
      String key = decode(equals < 0 ? parameter : parameter.substring(0, equals), "parameter");
      String value = equals < 0 ? "" : decode(parameter.substring(equals + 1), "'" + key + "'");
      if (parameters.put(key, value) != null) {
        throw invalid("the URI has '" + key + "' twice", null);
      }
    }
    return parameters;
  }

  /// Percent-decoding; what comes out must be UTF-8.
  private static String decode(String text, String what) throws TargetOpenException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(text.length());
    int at = 0;
    while (at < text.length()) {
      if (text.charAt(at) != '%') {
        int next = text.indexOf('%', at);
        int end = next < 0 ? text.length() : next;
        bytes.writeBytes(text.substring(at, end).getBytes(UTF_8));
        at = end;
        continue;
      }
      if (at + 3 > text.length()
          || !HexFormat.isHexDigit(text.charAt(at + 1))
          || !HexFormat.isHexDigit(text.charAt(at + 2))) {
        throw invalid(
            "a '%' in the " + what + " is not followed by two hex digits",
            "write '%' itself as %25");
      }
      bytes.write(HexFormat.fromHexDigits(text, at + 1, at + 3));
      at += 3;
    }
    try {
      return UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes.toByteArray())).toString();
    } catch (CharacterCodingException notText) {
      throw new TargetOpenException(Reason.INVALID, "the " + what + " is not UTF-8", null, notText);
    }
  }

  /// Percent-encoding of everything but letters, digits and [#UNRESERVED].
  private static String encode(String text) {
    StringBuilder encoded = new StringBuilder(text.length());
    for (byte b : text.getBytes(UTF_8)) {
      boolean plain = b > 0 && (Character.isLetterOrDigit(b) || UNRESERVED.indexOf(b) >= 0);
      if (plain) {
        encoded.append((char) b);
      } else {
        encoded.append('%').append(HexFormat.of().withUpperCase().toHexDigits(b));
      }
    }
    return encoded.toString();
  }

  private static TargetOpenException invalid(String message, @Nullable String remedy) {
    return new TargetOpenException(Reason.INVALID, message, remedy);
  }
}
