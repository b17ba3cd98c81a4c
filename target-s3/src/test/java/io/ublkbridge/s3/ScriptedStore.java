package io.ublkbridge.s3;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/// A store that answers when a test says so, and in the way that it says.
final class ScriptedStore extends GetsOnly {

  /// A GET that waits for its answer.
  static final class Get implements Call {
    private final long offsetBytes;
    private final Destination into;
    private final End end;
    private long received;
    private boolean over;
    private boolean cancelled;

    Get(long offsetBytes, Destination into, End end) {
      this.offsetBytes = offsetBytes;
      this.into = into;
      this.end = end;
    }

    /// A part of the answer comes.
    void receive(long lengthBytes) {
      check();
      received += lengthBytes;
    }

    @Override
    public long receivedBytes() {
      return received;
    }

    long offsetBytes() {
      return offsetBytes;
    }

    void succeed() {
      check();
      byte[] bytes = new byte[(int) into.lengthBytes()];
      for (int i = 0; i < bytes.length; i++) {
        bytes[i] = byteAt(offsetBytes + i);
      }
      into.put(0, MemorySegment.ofArray(bytes));
      over = true;
      end.ended(null);
    }

    void fail(StoreException.Kind kind) {
      check();
      over = true;
      end.ended(new StoreException(kind, "scripted " + kind));
    }

    boolean waits() {
      return !over && !cancelled;
    }

    boolean cancelled() {
      return cancelled;
    }

    private void check() {
      if (!waits()) {
        throw new AssertionError("the test answers a GET that is over");
      }
    }

    @Override
    public void cancel() {
      cancelled = true;
    }
  }

  private final List<Get> gets = new ArrayList<>();

  static byte byteAt(long offsetBytes) {
    return (byte) (offsetBytes * 31 + (offsetBytes >>> 9));
  }

  List<Get> gets() {
    return gets;
  }

  /// The only GET that waits.
  Get waiting() {
    List<Get> waiting = gets.stream().filter(Get::waits).toList();
    if (waiting.size() != 1) {
      throw new AssertionError(waiting.size() + " GETs wait, not one");
    }
    return waiting.getFirst();
  }

  long waitingCount() {
    return gets.stream().filter(Get::waits).count();
  }

  @Override
  public Call get(ObjectVersion object, long offsetBytes, Destination into, End end) {
    Get get = new Get(offsetBytes, into, end);
    gets.add(get);
    return get;
  }
}
