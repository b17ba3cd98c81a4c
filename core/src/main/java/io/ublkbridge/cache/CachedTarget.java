package io.ublkbridge.cache;

import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.ForwardingTarget;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.OpenContext;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetOpenException.Reason;
import io.ublkbridge.target.TargetQueue;
import io.ublkbridge.target.TargetUri;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A target behind a block cache. All queues of the device share the blocks; each fetches for
/// itself.
public final class CachedTarget extends ForwardingTarget {
  private static final Logger log = LoggerFactory.getLogger(CachedTarget.class);

  /// The most that is asked for at once to fill blocks: several READs side by side are faster, but
  /// each has its own cost.
  private static final int RUN_BYTES_MAX = 2 << 20;

  private final BlockCache cache;
  private final BlockMap map;
  private final long readaheadBytes;
  private final @Nullable BlockTier tier;
  private final @Nullable TouchRecorder recorder;
  private final @Nullable TouchList warmUp;
  private final List<CacheCounters> counters = new CopyOnWriteArrayList<>();

  private CachedTarget(
      BlockTarget next,
      CacheOptions options,
      BlockCache cache,
      @Nullable BlockTier tier,
      @Nullable TouchRecorder recorder,
      @Nullable TouchList warmUp) {
    super(next);
    this.cache = cache;
    this.map = new BlockMap(next.geometry().sizeBytes(), options.blockBytes());
    this.readaheadBytes = options.readaheadBytes();
    this.tier = tier;
    this.recorder = recorder;
    this.warmUp = warmUp;
  }

  /// Puts the cache in front of a target that the options, or else the target, want there.
  ///
  /// @param bytesByDefault the size of the cache if no option gives it; 0 for none
  /// @return `target` itself if there is to be none
  /// @throws TargetOpenException if an option makes no sense, or memory or a file cannot be had;
  ///   `target` is then still open
  public static BlockTarget over(
      BlockTarget target, TargetUri uri, OpenContext context, long bytesByDefault)
      throws TargetOpenException {
    CacheOptions options =
        CacheOptions.of(context, target, bytesByDefault, CacheOptions.Host.present());
    if (options.cacheBytes() == 0) {
      return target;
    }
    String identity = target.contentIdentity().orElse(uri.toString());
    Optional<DiskTierOptions> disk = DiskTierOptions.of(context, target, options.blockBytes());
    if (disk.isEmpty()) {
      return open(target, identity, options);
    }
    BlockTier tier =
        disk.get().open(target.geometry().sizeBytes(), options.blockBytes(), options.cacheBytes());
    try {
      return open(target, identity, options, tier);
    } catch (TargetOpenException | RuntimeException e) {
      tier.close();
      throw e;
    }
  }

  /// @param identity names the contents, or where they are
  static CachedTarget open(BlockTarget target, String identity, CacheOptions options)
      throws TargetOpenException {
    return open(target, identity, options, null);
  }

  /// @param tier the level behind the memory, closed with the result
  static CachedTarget open(
      BlockTarget target, String identity, CacheOptions options, @Nullable BlockTier tier)
      throws TargetOpenException {
    long sizeBytes = target.geometry().sizeBytes();
    Optional<Path> prefetch = options.prefetch();
    TouchList warmUp = prefetch.isEmpty() ? null : warmUp(prefetch.get(), identity, sizeBytes);
    BlockMap map = new BlockMap(sizeBytes, options.blockBytes());
    TouchRecorder recorder =
        options.record().isEmpty()
            ? null
            : TouchRecorder.open(options.record().get(), identity, map);
    try {
      int keptBlocks = tier == null ? 0 : tier.keptBlocksMax();
      CacheBudget budget = CacheBudget.of(options.cacheBytes(), options.blockBytes(), keptBlocks);
      return new CachedTarget(target, options, new BlockCache(budget), tier, recorder, warmUp);
    } catch (OutOfMemoryError e) {
      if (recorder != null) {
        recorder.close();
      }
      throw new TargetOpenException(
          Reason.FAILED, "no memory for the cache: " + e.getMessage(), "a smaller --cache", e);
    }
  }

  /// What to fetch in advance: nothing if the list is not there yet, or about something else.
  private static @Nullable TouchList warmUp(Path file, String identity, long sizeBytes)
      throws TargetOpenException {
    if (Files.notExists(file)) {
      log.info("--prefetch: there is no {} yet", file);
      return null;
    }
    try {
      TouchList list = TouchList.read(file);
      if (list.isOf(identity, sizeBytes)) {
        return list;
      }
      log.warn("--prefetch: ignoring {}: it is about {}", file, list.identity());
      return null;
    } catch (IOException e) {
      throw new TargetOpenException(
          Reason.INVALID,
          "--prefetch: cannot use " + file + ": " + e.getMessage(),
          "a file that --record has written",
          e);
    }
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    TargetQueue target = next().openQueue(context);
    BlockTier.Lane lane = null;
    try {
      lane = tier == null ? null : tier.openLane(context);
      return openQueue(context, target, lane);
    } catch (RuntimeException | OutOfMemoryError e) {
      target.close();
      if (lane != null) {
        lane.close();
      }
      throw e;
    }
  }

  private CachedQueue openQueue(
      QueueContext context, TargetQueue target, BlockTier.@Nullable Lane lane) {
    CacheCounters counted = new CacheCounters();
    CachedQueue queue =
        new CachedQueue(
            new Fills.Lane(cache, map, counted, target, lane, runBlocksMax()),
            context.count(),
            context.eventLoop(),
            new CachedQueue.Extras(
                readaheadBytes,
                recorder == null ? null : recorder.touches(),
                context.index() == 0 ? warmUp : null));
    counters.add(counted);
    queue.start();
    return queue;
  }

  private int runBlocksMax() {
    Geometry geometry = geometry();
    int bytes =
        Math.min(geometry.maxIoBytes(), Math.max(RUN_BYTES_MAX, geometry.preferredIoBytes()));
    return Math.max(1, bytes / map.blockBytes());
  }

  @Override
  public Map<String, Object> details() {
    Map<String, Object> details = new LinkedHashMap<>(super.details());
    details.put("cache", new CacheReport(cache, counters, readaheadBytes, tier).fields());
    return details;
  }

  @Override
  public long presentSize(Duration timeout) throws TargetOpenException {
    // Whatever is behind it may have a better reason.
    var _ = super.presentSize(timeout);
    throw new TargetOpenException(
        Reason.FAILED,
        "a disk with a cache keeps the size that it was attached with",
        "detach it, then attach it again");
  }

  @Override
  public void close() {
    if (recorder != null) {
      recorder.close();
    }
    if (tier != null) {
      tier.close();
    }
    super.close();
    cache.close();
  }
}
