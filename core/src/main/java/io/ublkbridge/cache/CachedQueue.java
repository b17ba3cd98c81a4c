package io.ublkbridge.cache;

import io.ublkbridge.cache.CacheCounters.Count;
import io.ublkbridge.cache.FillRun.Purpose;
import io.ublkbridge.target.BlockRequest;
import io.ublkbridge.target.IoError;
import io.ublkbridge.target.PayloadException;
import io.ublkbridge.target.TargetQueue;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// One queue's lane through the cache. Confined to the queue's event loop, except for [#close].
///
/// A READ takes what is in memory at once, joins what is on its way, and has the rest fetched in
/// whole blocks, neighbours together. When too much is on its way it waits for its turn; only READs
/// with something to fetch wait. A modification goes to the target as it is.
final class CachedQueue implements TargetQueue {
  private static final Logger log = LoggerFactory.getLogger(CachedQueue.class);

  /// How long [#close] waits for what was read ahead and nobody will use.
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final Fills.Lane lane;
  private final BlockCache cache;
  private final BlockMap map;
  private final CacheCounters counters;
  private final TargetQueue target;
  private final Executor loop;
  private final PassingBlocks passing;
  private final Fills fills;
  private final Readahead readahead;
  private final @Nullable FirstTouches touches;
  private final @Nullable WarmStart warmStart;
  private final BlockKey key = new BlockKey(0);
  private final Deque<ReadInProgress> waiting = new ArrayDeque<>();
  private final Deque<Modification> spare = new ArrayDeque<>();
  private final CompletableFuture<Void> idle = new CompletableFuture<>();
  private boolean resuming;
  private boolean closing;

  /// What a queue does beyond serving requests.
  ///
  /// @param readaheadBytesMax 0 to read nothing ahead
  /// @param touches where first touches are noted
  /// @param warmUp blocks to fetch when there is nothing better to do
  record Extras(
      long readaheadBytesMax, @Nullable FirstTouches touches, @Nullable TouchList warmUp) {}

  /// @param queues how many queues share the cache
  /// @param loop the queue's event loop
  CachedQueue(Fills.Lane lane, int queues, Executor loop, Extras extras) {
    this.lane = lane;
    this.cache = lane.cache();
    this.map = lane.map();
    this.counters = lane.counters();
    this.target = lane.target();
    this.loop = loop;
    this.passing = new PassingBlocks(cache, map, counters);
    CacheBudget budget = cache.budget();
    int aheadBlocks = budget.aheadBlocksOf(queues);
    this.fills = new Fills(lane, passing, budget.fillBlocksOf(queues), aheadBlocks);
    this.readahead =
        new Readahead(
            fills, passing, extras.readaheadBytesMax(), (long) aheadBlocks * map.blockBytes());
    this.touches = extras.touches();
    TouchList warmUp = extras.warmUp();
    this.warmStart = warmUp == null ? null : new WarmStart(fills, warmUp);
    fills.afterProgress(this::resume);
  }

  CacheCounters counters() {
    return counters;
  }

  /// Begins to fetch what another run has used.
  void start() {
    if (warmStart != null) {
      loop.execute(this::resume);
    }
  }

  @Override
  public void submit(BlockRequest request) {
    switch (request.operation()) {
      case READ -> read(request);
      case FLUSH -> target.submit(request);
      case WRITE, DISCARD, WRITE_ZEROES -> modify(request);
    }
  }

  private void read(BlockRequest request) {
    long offset = request.offsetBytes();
    long length = request.lengthBytes();
    counters.add(Count.BYTES_READ, length);
    ReadStream stream = readahead.read(offset, length);
    boolean admitted = readahead.admits(stream);
    long first = map.blockOf(offset);
    long last = map.blockOf(offset + length - 1);
    if (touches != null) {
      touches.touch(first, last);
    }
    long block = first;
    while (block <= last && serve(request, block, admitted)) {
      block++;
    }
    if (block > last) {
      request.complete();
    } else {
      begin(new ReadInProgress(request, map, block, admitted));
    }
    if (waiting.isEmpty() && !closing) {
      readahead.advance(stream);
    }
  }

  private boolean serve(BlockRequest request, long block, boolean admitted) {
    BlockBuffer buffer = cache.retained(key.at(block));
    if (buffer != null) {
      map.store(request, block, buffer.memory());
      buffer.release();
    } else if (!passing.serve(request, block, admitted)) {
      return false;
    }
    counters.add(Count.HITS, 1);
    return true;
  }

  private void begin(ReadInProgress read) {
    if (advance(read, waiting.isEmpty())) {
      read.allUnderWay(target);
    } else {
      counters.add(Count.WAITED, 1);
      waiting.add(read);
    }
  }

  /// Brings the blocks of a READ on their way.
  ///
  /// @param mayFetch whether it is this READ's turn to fetch
  /// @return false if it has to wait
  private boolean advance(ReadInProgress read, boolean mayFetch) {
    while (read.cursor() <= read.last()) {
      long block = read.cursor();
      if (serve(read.request(), block, read.admitted())) {
        read.moveTo(block + 1);
        continue;
      }
      BlockFetch fetch = fills.joinable(block);
      if (fetch != null) {
        counters.add(Count.SHARED, 1);
        fetch.join(read);
        read.moveTo(block + 1);
        continue;
      }
      if (!mayFetch || fills.demandRoom() < 1) {
        return false;
      }
      FillRun run = fills.prepare(Purpose.DEMAND, read.admitted(), null, block, missing(read));
      if (run != null) {
        fetch(read, run);
      } else if (fills.idle()) {
        // All frames are in other queues' hands, and nothing of this queue will free one.
        counters.add(Count.DIRECT_READS, 1);
        read.askTarget();
      } else {
        return false;
      }
    }
    return true;
  }

  /// How many blocks from the READ's next one on are to be fetched at once.
  private int missing(ReadInProgress read) {
    long max =
        Math.min(
            read.last() - read.cursor() + 1, Math.min(fills.demandRoom(), fills.runBlocksMax()));
    int count = 1;
    while (count < max && !known(read.cursor() + count)) {
      count++;
    }
    return count;
  }

  private boolean known(long block) {
    return cache.holds(key.at(block)) || passing.holds(block) || fills.joinable(block) != null;
  }

  private void fetch(ReadInProgress read, FillRun run) {
    BlockFetch[] fetches = run.fetches();
    counters.add(Count.MISSES, fetches.length);
    for (BlockFetch fetch : fetches) {
      fetch.join(read);
    }
    read.moveTo(read.cursor() + fetches.length);
    fills.submit(run);
  }

  /// There may be room for more: first come, first served, and what nobody waits for last.
  private void resume() {
    if (resuming) {
      return;
    }
    resuming = true;
    while (!waiting.isEmpty() && advance(waiting.element(), true)) {
      waiting.remove().allUnderWay(target);
    }
    resuming = false;
    if (closing) {
      endIfIdle();
    } else if (waiting.isEmpty() && warmStart != null) {
      warmStart.advance();
    }
  }

  private void modify(BlockRequest request) {
    Modification modification = spare.isEmpty() ? new Modification(this) : spare.pop();
    modification.begin(request);
    try {
      target.submit(modification);
    } catch (PayloadException e) {
      if (modification.ended()) {
        throw e;
      }
      modification.fail(IoError.IO, e);
    }
  }

  /// The blocks of this range are not what they were.
  void modified(BlockRequest request) {
    long offset = request.offsetBytes();
    cache.modified(map.blockOf(offset), map.blockOf(offset + request.lengthBytes() - 1), key);
  }

  void recycle(Modification ended) {
    spare.push(ended);
  }

  private void endIfIdle() {
    if (fills.idle()) {
      passing.clear();
      idle.complete(null);
    }
  }

  /// Waits for what is still on its way for nobody, since the target must end it and its memory
  /// must be there until then.
  @Override
  public void close() {
    loop.execute(() -> {
      closing = true;
      endIfIdle();
    });
    try {
      idle.get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
    } catch (TimeoutException e) {
      log.warn("the target still has reads that nobody waits for; their memory stays", e);
    } catch (ExecutionException e) {
      throw new IllegalStateException("cannot let go of what was read ahead", e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    if (lane.tier() != null) {
      lane.tier().close();
    }
    target.close();
  }
}
