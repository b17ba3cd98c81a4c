package io.ublkbridge.overlay;

import io.netty.channel.IoEventLoop;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.Operation;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetOpenException;
import java.io.IOException;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/// One overlay over several lives, each ended by the power failing at any moment, also while the
/// overlay is taken up again. Everything that is random comes from the seed.
final class CrashSimulation {
  private static final int DEPTH = 6;
  private static final int LIVES = 3;
  private static final int REQUEST_SECTORS_MAX = 24;
  private static final long BLOCKS = 3L * BlockMap.BLOCKS_PER_PAGE + 4;

  /// The last block is short.
  private static final OverlayLayout LAYOUT =
      new OverlayLayout(BLOCKS * OverlayLayout.BLOCK_BYTES + 1024, 2);

  private static final long SECTORS = LAYOUT.sizeBytes() / SimulatedFile.SECTOR;
  private static final int REGION_SECTORS = 48;

  /// The start, the ends of two map pages, the end.
  private static final long[] REGIONS = {
    0,
    (BlockMap.BLOCKS_PER_PAGE - 3L) * 8,
    (2L * BlockMap.BLOCKS_PER_PAGE - 3) * 8,
    SECTORS - REGION_SECTORS
  };

  private final SplittableRandom random;
  private final IoEventLoop eventLoop;
  private final SimulatedFile file;
  private final DiskHistory history;
  private final boolean syncTrouble;
  private final int trouble;
  private SimulatedBase base;
  private @Nullable OverlayQueue queue;
  private int underWay;
  private int writes;
  private int flushes;
  private int crashes;
  private boolean syncFailed;

  CrashSimulation(long seed, IoEventLoop eventLoop) {
    this.random = new SplittableRandom(seed);
    this.eventLoop = eventLoop;
    this.file = new SimulatedFile(random.split(), LAYOUT.dataPosition(0));
    this.history =
        new DiskHistory(
            Arrays.stream(REGIONS)
                .flatMap(first -> LongStream.range(first, first + REGION_SECTORS))
                .toArray());
    this.syncTrouble = random.nextInt(5) == 0;
    this.trouble = random.nextInt(3) == 0 ? random.nextInt(1, 30) : 0;
    this.base = new SimulatedBase(random.split(), DEPTH, 0);
  }

  int flushes() {
    return flushes;
  }

  int crashes() {
    return crashes;
  }

  void run() throws IOException, TargetOpenException {
    OverlayHeader header = new OverlayHeader(new UUID(1, random.nextLong()), "memory:", LAYOUT);
    OverlayFormat.create(file, header);
    for (int life = 0; life < LIVES; life++) {
      OverlayFormat.Opened opened = open();
      live(opened.map());
      crash(opened.map());
    }
    OverlayFormat.Opened opened = open();
    start(opened.map(), 0);
    checkAll();
    opened.map().close();
  }

  /// Takes the overlay up, now and then only at the third attempt.
  private OverlayFormat.Opened open() throws IOException, TargetOpenException {
    for (int attempt = 0; attempt < 2; attempt++) {
      if (random.nextInt(3) == 0) {
        file.failAfter(random.nextInt(4));
        try {
          BlockMap map = openOnce().map();
          map.close();
        } catch (PowerLoss e) {
          crashes++;
        }
        file.crash();
      }
    }
    return openOnce();
  }

  private OverlayFormat.Opened openOnce() throws IOException, TargetOpenException {
    return OverlayFormat.open(file, OverlayFormat.readHeader(file), true);
  }

  private OverlayQueue start(BlockMap map, int baseTrouble) {
    OverlayDisk disk = new OverlayDisk("simulated", header(), map, file);
    base = new SimulatedBase(random.split(), DEPTH, baseTrouble);
    QueueContext context =
        new QueueContext(0, 1, DEPTH, REQUEST_SECTORS_MAX * SimulatedFile.SECTOR, eventLoop);
    OverlayQueue started = new OverlayQueue(disk, file, base, context, true);
    file.deliverTo(started);
    queue = started;
    underWay = 0;
    syncFailed = false;
    return started;
  }

  private OverlayHeader header() {
    try {
      return OverlayFormat.readHeader(file);
    } catch (IOException | TargetOpenException e) {
      throw new AssertionError(e);
    }
  }

  private void live(BlockMap map) {
    OverlayQueue living = start(map, 0);
    checkAll();
    base = new SimulatedBase(random.split(), DEPTH, 0);
    living.release();
    living = start(map, random.nextInt(4) == 0 ? 10 : 0);
    file.trouble(trouble);
    int steps = random.nextInt(1, 250);
    for (int i = 0; i < steps; i++) {
      if (underWay < DEPTH && random.nextInt(3) > 0) {
        submit(living);
      } else {
        step();
      }
      if (syncTrouble && random.nextInt(200) == 0) {
        file.failSyncs(true);
      }
    }
    if (random.nextInt(3) == 0) {
      drain();
      requireEmpty();
    }
    file.trouble(0);
  }

  private void requireEmpty() {
    if (underWay > 0) {
      throw new AssertionError(underWay + " requests never end");
    }
  }

  private void drain() {
    while (!file.idle() || !base.idle()) {
      step();
    }
  }

  private void step() {
    if (!file.idle() && (base.idle() || random.nextInt(3) > 0)) {
      file.step();
    } else if (!base.idle()) {
      base.step();
    }
  }

  private void submit(OverlayQueue living) {
    int length = random.nextInt(1, REQUEST_SECTORS_MAX + 1);
    long first = pick(length);
    if (random.nextInt(2) == 0) {
      // Whole blocks, as file systems write them.
      length = Math.max(8, length / 8 * 8);
      long region = REGIONS[random.nextInt(REGIONS.length)];
      long aligned = Math.ceilDiv(region + random.nextInt(REGION_SECTORS - length + 1), 8L) * 8;
      first = Math.min(aligned, region + REGION_SECTORS - length);
    }
    Operation operation =
        switch (random.nextInt(12)) {
          case 0 -> Operation.DISCARD;
          case 1 -> Operation.WRITE_ZEROES;
          case 2, 3 -> Operation.FLUSH;
          case 4, 5, 6 -> Operation.READ;
          default -> Operation.WRITE;
        };
    if (operation == Operation.FLUSH) {
      request(living, operation, 0, 0);
    } else if (operation == Operation.DISCARD && random.nextInt(4) == 0) {
      modify(living, operation, random.nextInt(9), SECTORS - random.nextInt(9));
    } else if (operation == Operation.READ) {
      request(living, operation, first, length);
    } else {
      modify(living, operation, first, first + length);
    }
  }

  private long pick(int length) {
    return REGIONS[random.nextInt(REGIONS.length)] + random.nextInt(REGION_SECTORS - length + 1);
  }

  private void modify(OverlayQueue living, Operation operation, long first, long end) {
    if (!history.busy(first, end)) {
      int value = operation == Operation.WRITE ? writes + 1 : SectorBytes.ZERO;
      history.begin(first, end, value);
      request(living, operation, first, end - first);
    }
  }

  private void request(OverlayQueue living, Operation operation, long first, long length) {
    boolean durable =
        operation.modifies() && operation != Operation.DISCARD && random.nextInt(8) == 0;
    underWay++;
    living.submit(
        new SimulatedRequest(
            operation, first, length, ++writes, durable, history.now(), this::ended));
  }

  private void ended(SimulatedRequest request, @Nullable IoError error) {
    underWay--;
    boolean well = error == null;
    switch (request.operation()) {
      case READ -> {
        if (well) {
          for (long sector = request.firstSector(); sector < request.endSector(); sector++) {
            history.checkRead(request.then(), sector, request.writeOf(sector));
          }
        }
      }
      case FLUSH -> {
        syncFailed |= error == IoError.IO;
        if (well && syncFailed) {
          throw new AssertionError("a flush succeeds after one has failed");
        }
        if (well) {
          flushes++;
          history.flushed(request.then());
        }
      }
      case WRITE, DISCARD, WRITE_ZEROES ->
          history.end(request.firstSector(), request.endSector(), well, request.durable());
    }
  }

  private void crash(BlockMap map) {
    crashes++;
    file.crash();
    if (queue != null) {
      queue.release();
    }
    map.close();
  }

  /// Reads everything that is watched.
  private void checkAll() {
    for (long region : REGIONS) {
      for (int at = 0; at < REGION_SECTORS; at += REQUEST_SECTORS_MAX) {
        read(region + at);
      }
    }
  }

  private void read(long first) {
    boolean[] done = new boolean[1];
    SimulatedRequest read =
        new SimulatedRequest(
            Operation.READ,
            first,
            REQUEST_SECTORS_MAX,
            0,
            false,
            new int[0],
            (request, error) -> {
              if (error != null) {
                throw new AssertionError("cannot read: " + error);
              }
              for (long sector = first; sector < first + REQUEST_SECTORS_MAX; sector++) {
                history.survived(sector, request.writeOf(sector));
              }
              done[0] = true;
            });
    if (queue == null) {
      throw new AssertionError("nothing was started");
    }
    queue.submit(read);
    drain();
    if (!done[0]) {
      throw new AssertionError(read + " never ends");
    }
  }
}
