package io.ublkbridge.nbd;

import io.ublkbridge.nbd.ServerTls.SecureStreams;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/// A server on loopback that follows a script, however wrong: one thread and one [Wire] for each
/// connection. A connection is closed when its script ends.
final class ScriptedServer implements AutoCloseable {
  /// What the server does on one connection.
  @FunctionalInterface
  interface Script {
    void run(Wire wire) throws Exception;
  }

  /// One request of the transmission phase.
  @SuppressWarnings("ArrayRecordComponent")
  record Request(int flags, int type, long cookie, long offset, long length, byte[] payload) {}

  /// One option of the handshake.
  @SuppressWarnings("ArrayRecordComponent")
  record Option(int number, byte[] data) {}

  private final ServerSocketChannel listener;
  private final Script script;
  private final List<SocketChannel> accepted = new CopyOnWriteArrayList<>();
  private final List<Thread> threads = new CopyOnWriteArrayList<>();
  private final ConcurrentLinkedQueue<Throwable> failures = new ConcurrentLinkedQueue<>();

  private ScriptedServer(ServerSocketChannel listener, Script script) {
    this.listener = listener;
    this.script = script;
    threads.add(Thread.ofPlatform().daemon().name("scripted-accept").start(this::accept));
  }

  static ScriptedServer onTcp(Script script) throws IOException {
    ServerSocketChannel listener = ServerSocketChannel.open();
    listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    return new ScriptedServer(listener, script);
  }

  static ScriptedServer onUnix(Path path, Script script) throws IOException {
    ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    listener.bind(UnixDomainSocketAddress.of(path));
    return new ScriptedServer(listener, script);
  }

  /// The URI of an export on this server.
  String uri(String export) throws IOException {
    SocketAddress address = listener.getLocalAddress();
    return address instanceof InetSocketAddress tcp
        ? "nbd://127.0.0.1:" + tcp.getPort() + "/" + export
        : "nbd+unix:///" + export + "?socket=" + address;
  }

  /// The URI of an export on this server, inside TLS; the server is called `localhost`.
  ///
  /// @param user with an `@`, or empty
  /// @param parameters of the URI's query
  String secureUri(String user, String export, String parameters) throws IOException {
    int port = ((InetSocketAddress) listener.getLocalAddress()).getPort();
    return "nbds://" + user + "localhost:" + port + "/" + export + "?" + parameters;
  }

  private void accept() {
    try {
      while (true) {
        SocketChannel channel = listener.accept();
        accepted.add(channel);
        threads.add(Thread.ofPlatform().daemon().name("scripted").start(() -> serve(channel)));
      }
    } catch (ClosedChannelException e) {
      // The test is over.
    } catch (IOException e) {
      failures.add(e);
    }
  }

  private void serve(SocketChannel channel) {
    try (channel) {
      script.run(new Wire(channel));
    } catch (IOException e) {
      // The client went, as many tests want it to.
    } catch (Exception | AssertionError e) {
      failures.add(e);
    }
  }

  /// Drops everything. Fails if a script failed by itself.
  @Override
  public void close() throws IOException {
    listener.close();
    for (SocketChannel channel : accepted) {
      channel.close();
    }
    Throwable failure = failures.peek();
    if (failure != null) {
      throw new AssertionError("the scripted server failed", failure);
    }
  }

  /// One connection, seen from the server. Confined to its script's thread.
  static final class Wire {
    private final SocketChannel channel;
    private @Nullable ByteArrayOutputStream gathered;
    private HeaderForm headers = HeaderForm.SIMPLE;
    private @Nullable SecureStreams secure;

    Wire(SocketChannel channel) {
      this.channel = channel;
    }

    void send(byte[] bytes) throws IOException {
      ByteArrayOutputStream later = gathered;
      if (later != null) {
        later.writeBytes(bytes);
        return;
      }
      SecureStreams tls = secure;
      if (tls != null) {
        tls.out().write(bytes);
        tls.out().flush();
        return;
      }
      ByteBuffer buffer = ByteBuffer.wrap(bytes);
      while (buffer.hasRemaining()) {
        channel.write(buffer);
      }
    }

    /// Grants STARTTLS, and does the server's part of the TLS handshake.
    void startTls(ServerTls tls) throws IOException {
      expectOption(NbdProtocol.NBD_OPT_STARTTLS);
      ack(NbdProtocol.NBD_OPT_STARTTLS);
      secure = tls.accept(channel.socket());
    }

    /// Sends bytes past the TLS session.
    void sendPlain(byte... bytes) throws IOException {
      channel.write(ByteBuffer.wrap(bytes));
    }

    /// Waits until the client is gone.
    ///
    /// @return whether it went with a reset
    boolean awaitReset() {
      try {
        awaitEnd();
        return false;
      } catch (IOException reset) {
        return true;
      }
    }

    /// Says goodbye inside TLS and leaves the socket open.
    void sayGoodbye() throws IOException {
      Objects.requireNonNull(secure).goodbye().say();
    }

    /// Keeps what is sent until [#release], so that it leaves in one piece.
    void gather() {
      gathered = new ByteArrayOutputStream();
    }

    void release() throws IOException {
      ByteArrayOutputStream all = gathered;
      gathered = null;
      if (all != null) {
        send(all.toByteArray());
      }
    }

    byte[] receive(int count) throws IOException {
      SecureStreams tls = secure;
      if (tls != null) {
        byte[] bytes = tls.in().readNBytes(count);
        if (bytes.length < count) {
          throw new EOFException();
        }
        return bytes;
      }
      ByteBuffer buffer = ByteBuffer.allocate(count);
      while (buffer.hasRemaining()) {
        if (channel.read(buffer) < 0) {
          throw new EOFException();
        }
      }
      return buffer.array();
    }

    /// Waits until the client is gone, however it goes.
    void awaitEnd() throws IOException {
      ByteBuffer buffer = ByteBuffer.allocate(4096);
      while (channel.read(buffer) >= 0) {
        buffer.clear();
      }
    }

    /// Ends the connection with a reset instead of an orderly close.
    void reset() throws IOException {
      channel.setOption(StandardSocketOptions.SO_LINGER, 0);
      channel.close();
    }

    void greet(int flags) throws IOException {
      send(Bytes.of().u64(NbdProtocol.NBDMAGIC).u64(NbdProtocol.IHAVEOPT).u16(flags).array());
    }

    /// Greets as modern servers do, and takes the client's flags.
    void greet() throws IOException {
      greet(3);
      receive(4);
    }

    Option receiveOption() throws IOException {
      ByteBuffer header = ByteBuffer.wrap(receive(16));
      if (header.getLong() != NbdProtocol.IHAVEOPT) {
        throw new AssertionError("the client sent an option without its magic number");
      }
      int number = header.getInt();
      return new Option(number, receive(header.getInt()));
    }

    /// Takes an option that must be the given one.
    Option expectOption(int number) throws IOException {
      Option option = receiveOption();
      if (option.number() != number) {
        throw new AssertionError("the client sent option " + option.number() + ", not " + number);
      }
      return option;
    }

    void replyToOption(int number, int type, byte[] data) throws IOException {
      send(
          Bytes.of()
              .u64(NbdProtocol.OPTION_REPLY_MAGIC)
              .u32(number)
              .u32(type)
              .u32(data.length)
              .raw(data)
              .array());
    }

    void ack(int number) throws IOException {
      replyToOption(number, NbdProtocol.NBD_REP_ACK, new byte[0]);
    }

    void refuse(int number, int error, String text) throws IOException {
      replyToOption(number, error, text.getBytes(StandardCharsets.UTF_8));
    }

    /// Serves one LIST.
    void list(String... exports) throws IOException {
      expectOption(NbdProtocol.NBD_OPT_LIST);
      for (String export : exports) {
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        replyToOption(
            NbdProtocol.NBD_OPT_LIST,
            NbdProtocol.NBD_REP_SERVER,
            Bytes.of().u32(name.length).raw(name).array());
      }
      ack(NbdProtocol.NBD_OPT_LIST);
    }

    /// Agrees on the form of headers: refuses what is more capable, until asked for this one.
    void agreeOn(HeaderForm form) throws IOException {
      headers = form;
      if (answer(NbdProtocol.NBD_OPT_EXTENDED_HEADERS, form.extendedHeaders())) {
        return;
      }
      answer(NbdProtocol.NBD_OPT_STRUCTURED_REPLY, form.structuredReplies());
    }

    private boolean answer(int option, boolean granted) throws IOException {
      expectOption(option);
      if (granted) {
        ack(option);
      } else {
        refuse(option, NbdProtocol.NBD_REP_ERR_UNSUP, "");
      }
      return granted;
    }

    /// Greets and agrees or not on structured replies; a GO for a named export comes next.
    void untilGo(boolean structured) throws IOException {
      untilGo(structured ? HeaderForm.STRUCTURED : HeaderForm.SIMPLE);
    }

    void untilGo(HeaderForm form) throws IOException {
      greet();
      agreeOn(form);
    }

    void infoExport(long sizeBytes, int flags) throws IOException {
      infoExport(NbdProtocol.NBD_OPT_GO, sizeBytes, flags);
    }

    void infoExport(int option, long sizeBytes, int flags) throws IOException {
      replyToOption(
          option,
          NbdProtocol.NBD_REP_INFO,
          Bytes.of().u16(NbdProtocol.NBD_INFO_EXPORT).u64(sizeBytes).u16(flags).array());
    }

    /// The whole handshake of a named export, until transmission.
    void handshake(boolean structured, long sizeBytes, int flags) throws IOException {
      handshake(structured ? HeaderForm.STRUCTURED : HeaderForm.SIMPLE, sizeBytes, flags);
    }

    void handshake(HeaderForm form, long sizeBytes, int flags) throws IOException {
      greet();
      haggle(form, sizeBytes, flags);
    }

    /// What comes after the greeting, or after STARTTLS.
    void haggle(HeaderForm form, long sizeBytes, int flags) throws IOException {
      agreeOn(form);
      expectOption(NbdProtocol.NBD_OPT_GO);
      infoExport(sizeBytes, flags);
      ack(NbdProtocol.NBD_OPT_GO);
    }

    /// Takes a request, with its payload if it has one.
    Request receiveRequest() throws IOException {
      Request header = receiveHeader();
      return header.type() == NbdProtocol.NBD_CMD_WRITE
          ? new Request(
              header.flags(),
              header.type(),
              header.cookie(),
              header.offset(),
              header.length(),
              receive((int) header.length()))
          : header;
    }

    /// Takes a request, but not its payload.
    Request receiveHeader() throws IOException {
      boolean extended = headers.extendedHeaders();
      ByteBuffer header =
          ByteBuffer.wrap(
              receive(extended ? NbdProtocol.EXTENDED_REQUEST_BYTES : NbdProtocol.REQUEST_BYTES));
      if (header.getInt()
          != (extended ? NbdProtocol.NBD_EXTENDED_REQUEST_MAGIC : NbdProtocol.NBD_REQUEST_MAGIC)) {
        throw new AssertionError("the client sent a request without its magic number");
      }
      int flags = header.getShort();
      int type = header.getShort();
      long cookie = header.getLong();
      long offset = header.getLong();
      long length = extended ? header.getLong() : Integer.toUnsignedLong(header.getInt());
      boolean write = type == NbdProtocol.NBD_CMD_WRITE;
      if (extended && write != ((flags & NbdProtocol.NBD_CMD_FLAG_PAYLOAD_LEN) != 0)) {
        throw new AssertionError("PAYLOAD_LEN belongs to every WRITE, and to nothing else");
      }
      return new Request(flags, type, cookie, offset, length, new byte[0]);
    }

    void simpleReply(int errno, long cookie, byte... data) throws IOException {
      send(Bytes.of().simpleReply(errno, cookie).raw(data).array());
    }

    void chunk(int flags, int type, long cookie, byte[] payload) throws IOException {
      send(Bytes.of().chunk(flags, type, cookie, payload).array());
    }

    /// A chunk in the form that was agreed on.
    void chunk(int flags, int type, Request request, byte[] payload) throws IOException {
      send(
          Bytes.of(headers, request.offset())
              .chunk(flags, type, request.cookie(), payload)
              .array());
    }

    /// The whole reply to a READ, as was agreed on.
    void dataReply(Request read, byte[] data) throws IOException {
      if (headers.structuredReplies()) {
        chunk(
            NbdProtocol.NBD_REPLY_FLAG_DONE,
            NbdProtocol.NBD_REPLY_TYPE_OFFSET_DATA,
            read,
            Bytes.of().u64(read.offset()).raw(data).array());
      } else {
        simpleReply(0, read.cookie(), data);
      }
    }

    /// Success of a request that is answered without data.
    void doneReply(Request request) throws IOException {
      if (headers.extendedHeaders()) {
        chunk(
            NbdProtocol.NBD_REPLY_FLAG_DONE, NbdProtocol.NBD_REPLY_TYPE_NONE, request, new byte[0]);
      } else {
        simpleReply(0, request.cookie());
      }
    }
  }
}
