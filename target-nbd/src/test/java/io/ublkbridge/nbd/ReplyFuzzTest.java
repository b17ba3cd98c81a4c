package io.ublkbridge.nbd;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.RecordedRequest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// The decoder beside [ReplyModel], on streams that a server may send and on damaged ones, torn
/// anywhere: both come to the same, whatever the stream. [RecordedRequest] sees to it that a READ
/// never completes without all of its bytes and that nothing ends twice; the memory of each piece,
/// that nothing is read beyond it.
final class ReplyFuzzTest {
  private static final int CONTEXT = 99;
  private static final int[] COMMANDS = {
    NbdProtocol.NBD_CMD_READ,
    NbdProtocol.NBD_CMD_READ,
    NbdProtocol.NBD_CMD_WRITE,
    NbdProtocol.NBD_CMD_FLUSH,
    NbdProtocol.NBD_CMD_TRIM,
    NbdProtocol.NBD_CMD_BLOCK_STATUS
  };

  /// A connection with requests under way, and the same for the model.
  private static final class Run {
    final SplittableRandom random;
    final HeaderForm headers;
    final CookieTable table = new CookieTable();
    final ReplyDecoder decoder;
    final ReplyModel model;
    final List<BlockRequest> requests = new ArrayList<>();
    final List<ReplyModel.Asked> asked = new ArrayList<>();
    final List<List<byte[]>> replies = new ArrayList<>();
    boolean violated;

    Run(SplittableRandom random, HeaderForm headers) {
      this.random = random;
      this.headers = headers;
      decoder = new ReplyDecoder(table, new TableEnd(table), new ServerErrors("fuzz"), headers);
      model = new ReplyModel(headers, CONTEXT);
      for (int i = 1 + random.nextInt(8); i > 0; i--) {
        start(COMMANDS[random.nextInt(COMMANDS.length - (headers == HeaderForm.SIMPLE ? 1 : 0))]);
      }
    }

    private void start(int type) {
      boolean flush = type == NbdProtocol.NBD_CMD_FLUSH;
      long offset = flush ? 0 : 512L * random.nextLong(1L << 40);
      int length = flush ? 0 : 512 * (1 + random.nextInt(4));
      BlockRequest request =
          switch (type) {
            case NbdProtocol.NBD_CMD_READ -> RecordedRequest.read(offset, length);
            case NbdProtocol.NBD_CMD_WRITE ->
                RecordedRequest.write(offset, new byte[length], false);
            case NbdProtocol.NBD_CMD_FLUSH -> RecordedRequest.flush();
            case NbdProtocol.NBD_CMD_TRIM -> RecordedRequest.discard(offset, length);
            default -> new StatusQuery(CONTEXT, offset, length);
          };
      PendingCommand command = table.start(request, type, 0);
      assertNotNull(command);
      requests.add(request);
      asked.add(new ReplyModel.Asked(type, offset, length));
      model.ask(command.cookie(), asked.getLast());
      replies.add(
          new ReplyStream(random, headers, CONTEXT).reply(command.cookie(), type, offset, length));
    }

    byte[] stream() {
      return new ReplyStream(random, headers, CONTEXT).interleaved(replies);
    }

    void decode(byte[] stream) {
      model.read(stream);
      int sizes = random.nextBoolean() ? 20 : 3000;
      int at = 0;
      try {
        while (at < stream.length) {
          int end = Math.min(stream.length, at + 1 + random.nextInt(sizes));
          DecoderFixture.feed(decoder, Arrays.copyOfRange(stream, at, end), end - at);
          at = end;
        }
      } catch (ProtocolViolation e) {
        violated = true;
      }
    }

    void compare() {
      if (!model.endedInError()) {
        assertEquals(model.violated(), violated, "violated");
      }
      for (int i = 0; i < requests.size(); i++) {
        switch (requests.get(i)) {
          case RecordedRequest request -> compare(request, asked.get(i));
          case StatusQuery query -> compare(query, asked.get(i));
          default -> throw new AssertionError();
        }
      }
    }

    private static void compare(RecordedRequest request, ReplyModel.Asked expected) {
      Boolean success = expected.success();
      assertEquals(success != null, request.ended(), request.toString());
      // Throws if the contract was broken on the way.
      byte[] payload = request.payload();
      if (success != null) {
        assertEquals(success, request.await() == null, request.toString());
        if (success && expected.type == NbdProtocol.NBD_CMD_READ) {
          assertArrayEquals(expected.data, payload, request.toString());
        }
      }
    }

    private static void compare(StatusQuery query, ReplyModel.Asked expected) {
      Boolean success = expected.success();
      assertEquals(success != null, query.end().isDone());
      if (success != null) {
        assertEquals(success, query.end().join() == null);
        if (success) {
          List<List<Long>> extents = new ArrayList<>();
          for (int i = 0; i < query.count(); i++) {
            extents.add(List.of(query.endBytes(i), (long) query.flags(i)));
          }
          assertEquals(expected.extents, extents);
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(HeaderForm.class)
  void everyGoodStreamEndsEveryRequest(HeaderForm headers) {
    Seeds.forEach(random -> {
      Run run = new Run(random, headers);
      run.decode(run.stream());
      run.compare();
      assertFalse(run.violated);
      assertEquals(0, run.table.inFlight());
    });
  }

  @ParameterizedTest
  @EnumSource(HeaderForm.class)
  void everyOtherStreamIsJudgedByTheLetter(HeaderForm headers) {
    int[] violations = new int[1];
    Seeds.forEach(random -> {
      for (int i = 0; i < 10; i++) {
        Run run = new Run(random, headers);
        run.decode(Seeds.mutate(random, run.stream()));
        run.compare();
        violations[0] += run.violated ? 1 : 0;
      }
    });
    assertTrue(violations[0] > 0, "no stream was damaged enough to tell");
  }
}
