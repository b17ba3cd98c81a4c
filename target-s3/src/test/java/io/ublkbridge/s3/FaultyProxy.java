package io.ublkbridge.s3;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.LockSupport;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

/// Stands in front of an HTTP server and spoils what it answers, request by request, as a plan
/// says. Every connection has a thread of its own here and one connection to the server.
public final class FaultyProxy implements AutoCloseable {

  /// What happens to one answer.
  public sealed interface Fault {
    /// Nothing.
    record None() implements Fault {}

    /// The server is not asked; this is the answer.
    record Answer(int status, String code) implements Fault {}

    /// The connection is reset when so many bytes of the body have been sent; -1 for none of the
    /// answer at all.
    record Reset(int afterBytes) implements Fault {}

    /// The body ends with a closed connection after so many bytes.
    record Truncated(int afterBytes) implements Fault {}

    /// Nothing comes for ever after so many bytes of the body.
    record Stall(int afterBytes) implements Fault {}

    /// What comes is no HTTP.
    record Malformed() implements Fault {}

    /// A header of the answer is another one than the server's.
    record Header(String name, String value) implements Fault {}

    /// The server is asked something else.
    record Asked(String part, String instead) implements Fault {}

    /// The answer begins so much later.
    record Late(Duration delay) implements Fault {}
  }

  /// A request, as far as it matters to a plan.
  ///
  /// @param number from 0, counted over all connections
  public record Request(int number, String line, String head) {
    /// A header's value, or nothing.
    public String header(String name) {
      for (String line : head.lines().toList()) {
        if (line.toLowerCase(Locale.ROOT).startsWith(name.toLowerCase(Locale.ROOT) + ":")) {
          return line.substring(name.length() + 1).strip();
        }
      }
      return "";
    }
  }

  /// Decides what happens to a request's answer. Called from many threads.
  @FunctionalInterface
  public interface Plan {
    Fault faultFor(Request request);
  }

  private static final int HEAD_BYTES_MAX = 64 << 10;
  private static final String EXPECT = "Expect";

  private final String scheme;
  private final ServerSocket listener;
  private final int serverPort;
  private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
  private final LongAdder bodyBytes = new LongAdder();

  /// Guarded by itself.
  private final List<Request> requests = new ArrayList<>();

  private volatile Plan plan = _ -> new Fault.None();
  private volatile Duration latency = Duration.ZERO;
  private volatile boolean down;
  private volatile boolean closed;

  public FaultyProxy(int port, int serverPort) throws IOException {
    this("http", new ServerSocket(port, 256, InetAddress.getLoopbackAddress()), serverPort);
  }

  private FaultyProxy(String scheme, ServerSocket listener, int serverPort) {
    this.scheme = scheme;
    this.listener = listener;
    this.serverPort = serverPort;
    Thread.ofVirtual().start(this::accept);
  }

  public static FaultyProxy before(S3Server server) throws IOException {
    return new FaultyProxy(0, server.port());
  }

  /// Speaks TLS in front of a server that does not.
  ///
  /// @param keys a key and its certificates, as PKCS #12
  public static FaultyProxy overTls(S3Server server, Path keys, String password)
      throws IOException, GeneralSecurityException {
    KeyManagerFactory factory = KeyManagerFactory.getInstance("PKIX");
    factory.init(
        KeyStore.getInstance(keys.toFile(), password.toCharArray()), password.toCharArray());
    SSLContext tls = SSLContext.getInstance("TLS");
    tls.init(factory.getKeyManagers(), null, null);
    ServerSocket listener =
        tls.getServerSocketFactory().createServerSocket(0, 256, InetAddress.getLoopbackAddress());
    return new FaultyProxy("https", listener, server.port());
  }

  public String url() {
    return scheme + "://127.0.0.1:" + listener.getLocalPort();
  }

  public int port() {
    return listener.getLocalPort();
  }

  public void plan(Plan next) {
    plan = next;
  }

  /// From now on every answer begins so much later.
  public void latency(Duration delay) {
    latency = delay;
  }

  /// While down, connections are reset: those there are, and new ones.
  public void down(boolean now) {
    down = now;
    if (now) {
      sockets.forEach(FaultyProxy::reset);
    }
  }

  /// What has been asked so far.
  public List<Request> requests() {
    synchronized (requests) {
      return List.copyOf(requests);
    }
  }

  /// How many bytes of answers' bodies were sent so far.
  public long bodyBytes() {
    return bodyBytes.sum();
  }

  private void accept() {
    while (!closed) {
      try {
        Socket client = listener.accept();
        if (down) {
          reset(client);
        } else {
          Thread.ofVirtual().start(() -> serve(client));
        }
      } catch (IOException e) {
        return;
      }
    }
  }

  private void serve(Socket client) {
    sockets.add(client);
    try (client;
        Socket server = new Socket(InetAddress.getLoopbackAddress(), serverPort)) {
      sockets.add(server);
      client.setTcpNoDelay(true);
      server.setTcpNoDelay(true);
      Exchange exchange = new Exchange(client, server);
      while (exchange.next()) {}
      sockets.remove(server);
    } catch (IOException e) {
      reset(client);
    } finally {
      sockets.remove(client);
    }
  }

  private static void reset(Socket socket) {
    try {
      socket.setSoLinger(true, 0);
      socket.close();
    } catch (IOException e) {
      // It is gone, which is what was wanted.
    }
  }

  @Override
  public void close() throws IOException {
    closed = true;
    listener.close();
    sockets.forEach(FaultyProxy::reset);
  }

  /// The requests and answers of one connection.
  private final class Exchange {
    private final Socket client;
    private final InputStream fromClient;
    private final OutputStream toClient;
    private final InputStream fromServer;
    private final OutputStream toServer;

    Exchange(Socket client, Socket server) throws IOException {
      this.client = client;
      this.fromClient = new BufferedInputStream(client.getInputStream());
      this.toClient = client.getOutputStream();
      this.fromServer = new BufferedInputStream(server.getInputStream());
      this.toServer = server.getOutputStream();
    }

    /// Returns whether there may be another one.
    boolean next() throws IOException {
      String head = readHead(fromClient);
      if (head.isEmpty()) {
        return false;
      }
      Request request;
      synchronized (requests) {
        request = new Request(requests.size(), head.substring(0, head.indexOf('\r')), head);
        requests.add(request);
      }
      if (!request.header(EXPECT).isEmpty()) {
        // It would wait for the server's word, which comes only after its body.
        toClient.write("HTTP/1.1 100 Continue\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
        toClient.flush();
        head = head.replaceAll("(?im)^" + EXPECT + ":.*\r\n", "");
      }
      byte[] body = fromClient.readNBytes((int) contentLength(head));
      Fault fault = plan.faultFor(request);
      pause(latency);
      switch (fault) {
        case Fault.Answer answer -> {
          answer(answer);
          return true;
        }
        case Fault.Reset(int afterBytes) when afterBytes < 0 -> {
          reset(client);
          return false;
        }
        case Fault.Malformed _ -> {
          toClient.write("220 ftp.example.org ready\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
          toClient.flush();
          return false;
        }
        case Fault.Late(Duration delay) -> pause(delay);
        case Fault.Asked(String part, String instead) -> head = head.replace(part, instead);
        case Fault.None _, Fault.Reset _, Fault.Truncated _, Fault.Stall _, Fault.Header _ -> {}
      }
      toServer.write(head.getBytes(StandardCharsets.ISO_8859_1));
      toServer.write(body);
      toServer.flush();
      return answer(request, fault);
    }

    private void answer(Fault.Answer answer) throws IOException {
      String text =
          "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>"
              + answer.code()
              + "</Code><Message>by the proxy</Message></Error>";
      toClient.write(
          "HTTP/1.1 %d Spoilt\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s"
              .formatted(answer.status(), text.length(), text)
              .getBytes(StandardCharsets.US_ASCII));
      toClient.flush();
    }

    private boolean answer(Request request, Fault fault) throws IOException {
      String head = readHead(fromServer);
      if (fault instanceof Fault.Header(String name, String value)) {
        head = head.replaceAll("(?im)^" + name + ":.*$", name + ": " + value);
      }
      long length = request.line().startsWith("HEAD") ? 0 : contentLength(head);
      int most =
          switch (fault) {
            case Fault.Reset(int afterBytes) -> afterBytes;
            case Fault.Truncated(int afterBytes) -> afterBytes;
            case Fault.Stall(int afterBytes) -> afterBytes;
            default -> Integer.MAX_VALUE;
          };
      toClient.write(head.getBytes(StandardCharsets.ISO_8859_1));
      if (new Request(0, "", head).header("transfer-encoding").equalsIgnoreCase("chunked")) {
        copyChunks();
      } else {
        copy(Math.min(length, most));
      }
      toClient.flush();
      if (most == Integer.MAX_VALUE) {
        return true;
      }
      if (fault instanceof Fault.Stall) {
        // Until the other side has had enough.
        var _ = fromClient.read();
      } else if (fault instanceof Fault.Reset) {
        reset(client);
      }
      return false;
    }

    private void copy(long length) throws IOException {
      byte[] buffer = new byte[64 << 10];
      for (long left = length; left > 0; ) {
        int read = fromServer.read(buffer, 0, (int) Math.min(buffer.length, left));
        if (read < 0) {
          throw new IOException("the server's answer broke off");
        }
        toClient.write(buffer, 0, read);
        bodyBytes.add(read);
        left -= read;
      }
    }

    private void copyChunks() throws IOException {
      for (int size = -1; size != 0; ) {
        String line = readLine();
        toClient.write(line.getBytes(StandardCharsets.ISO_8859_1));
        size = Integer.parseInt(line.strip(), 16);
        copy(size + 2);
      }
    }

    private String readLine() throws IOException {
      StringBuilder line = new StringBuilder();
      while (line.indexOf("\n") < 0) {
        int next = fromServer.read();
        if (next < 0) {
          throw new IOException("the server's answer broke off");
        }
        line.append((char) next);
      }
      return line.toString();
    }

    private static void pause(Duration time) {
      if (time.isPositive()) {
        LockSupport.parkNanos(time.toNanos());
      }
    }

    private static long contentLength(String head) {
      String length = new Request(0, "", head).header("content-length");
      return length.isEmpty() ? 0 : Long.parseLong(length);
    }

    /// Everything up to the empty line; nothing at the end of the stream.
    private static String readHead(InputStream in) throws IOException {
      ByteArrayOutputStream head = new ByteArrayOutputStream();
      int ends = 0;
      while (ends < 4 && head.size() < HEAD_BYTES_MAX) {
        int next = in.read();
        if (next < 0) {
          return "";
        }
        head.write(next);
        ends = next == (ends % 2 == 0 ? '\r' : '\n') ? ends + 1 : next == '\r' ? 1 : 0;
      }
      return head.toString(StandardCharsets.ISO_8859_1);
    }
  }
}
