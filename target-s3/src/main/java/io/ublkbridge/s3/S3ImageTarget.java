package io.ublkbridge.s3;

import io.netty.buffer.PooledByteBufAllocator;
import io.ublkbridge.target.BlockTarget;
import io.ublkbridge.target.Capabilities;
import io.ublkbridge.target.Geometry;
import io.ublkbridge.target.Outage;
import io.ublkbridge.target.QueueContext;
import io.ublkbridge.target.Succession;
import io.ublkbridge.target.TargetOpenException;
import io.ublkbridge.target.TargetQueue;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/// A disk image in one object, as it is there: read-only, and always the object that was there when
/// it was opened.
///
/// Called from control threads.
final class S3ImageTarget implements BlockTarget {
  private static final int QUEUES = 4;
  private static final int PREFERRED_IO_BYTES = 64 << 10;
  private static final int PREFERRED_IO_BYTES_MAX = 1 << 20;
  private static final int MAX_IO_BYTES = 8 << 20;

  /// Memory for what is under way, divided among the queues.
  private static final long BUDGET_BYTES = 48L << 20;

  /// Memory for decompressed frames that may be asked for again, divided likewise.
  private static final long KEPT_BYTES = 32L << 20;

  /// S3 Standard in us-east-1; elsewhere up to twice as much.
  private static final double DOLLARS_PER_GET = 0.40 / 1_000_000;

  private final S3Image image;
  private final S3Options options;
  private final StoreConnector connector;
  private final String endpoint;
  private final Geometry geometry;
  private final @Nullable FrameDecoder decoder;
  private final List<StoreLane> lanes = new CopyOnWriteArrayList<>();

  /// The first lane while no queue has taken it. Guarded by this.
  private @Nullable StoreLane first;

  /// @param endpoint where the store is, for people and for the contents' identity
  /// @param first the lane that the object was found on; belongs to this from now on, as the
  ///   connector does
  S3ImageTarget(
      S3Image image,
      S3Options options,
      StoreConnector connector,
      String endpoint,
      StoreLane first) {
    this.image = image;
    this.options = options;
    this.connector = connector;
    this.endpoint = endpoint;
    this.first = first;
    this.lanes.add(first);
    this.decoder = image.frames() == null ? null : new FrameDecoder();
    this.geometry =
        new Geometry(
            S3Image.diskBytes(image.sizeBytes()),
            S3Image.BLOCK_BYTES,
            preferredIoBytes(image.frames()),
            MAX_IO_BYTES,
            MAX_IO_BYTES);
  }

  /// Less than a frame costs as much as all of it.
  private static int preferredIoBytes(@Nullable SeekTable frames) {
    int frame = frames == null ? 0 : Integer.highestOneBit(frames.frameBytesMax());
    return Math.clamp(frame, PREFERRED_IO_BYTES, PREFERRED_IO_BYTES_MAX);
  }

  @Override
  public Geometry geometry() {
    return geometry;
  }

  @Override
  public Capabilities capabilities() {
    return new Capabilities(true, false, false, false, false, false, QUEUES);
  }

  @Override
  public Map<String, Object> details() {
    ObjectVersion object = image.object();
    Map<String, Object> details = new LinkedHashMap<>();
    details.put("endpoint", endpoint);
    details.put("region", connector.region().id());
    details.put("bucket", image.uri().bucket());
    details.put("key", object.key());
    if (object.versionId() != null) {
      details.put("versionId", object.versionId());
    }
    details.put("etag", object.etag());
    details.put("objectBytes", object.sizeBytes());
    details.put("signed", !options.unsigned());
    details.put("gets", sum(StoreCounters::gets));
    details.put("bytesFetched", sum(StoreCounters::bytesFetched));
    details.put("retries", sum(StoreCounters::retries));
    details.put("hedges", sum(StoreCounters::hedges));
    details.put("hedgesWon", sum(StoreCounters::hedgesWon));
    details.put("throttles", sum(StoreCounters::throttles));
    details.put("requestCost", cost(sum(StoreCounters::gets)));
    if (image.frames() != null) {
      details.put("compression", compression(image.frames()));
    }
    return details;
  }

  private Map<String, Object> compression(SeekTable frames) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("format", "zstd, seekable");
    fields.put("imageBytes", frames.imageBytes());
    fields.put("frames", (long) frames.frameCount());
    fields.put("largestFrameBytes", (long) frames.frameBytesMax());
    fields.put("framesDecoded", sum(StoreCounters::framesDecoded));
    fields.put("decodedBytes", sum(StoreCounters::bytesDecoded));
    return fields;
  }

  /// At S3's list price, without what the transfer costs.
  static String cost(long gets) {
    return String.format(Locale.ROOT, "%.6f USD", gets * DOLLARS_PER_GET);
  }

  private long sum(ToLongFunction<StoreCounters> counter) {
    return lanes.stream().map(StoreLane::counters).mapToLong(counter).sum();
  }

  @Override
  public Optional<String> contentIdentity() {
    ObjectVersion object = image.object();
    String version = object.versionId() == null ? "" : object.versionId();
    return Optional.of(
        String.join(
                "\n",
                endpoint,
                image.uri().bucket(),
                object.key(),
                version,
                object.etag(),
                Long.toString(object.sizeBytes()),
                image.frames() == null ? "" : "zstd")
            .strip());
  }

  /// Nothing is written, and each READ names the version of the object that it wants.
  @Override
  public Optional<Succession> succession() {
    return contentIdentity().map(identity -> new Succession(identity.replace('\n', ' ')));
  }

  @Override
  public Optional<Outage> outage() {
    for (StoreLane lane : lanes) {
      StoreHealth.State trouble = lane.store().trouble();
      if (trouble != null && !isPast(lane, trouble)) {
        long nanos = lane.loop().ticker().nanoTime() - trouble.sinceNanos();
        long unended = lanes.stream().mapToLong(each -> each.store().unended()).sum();
        return Optional.of(new Outage(trouble.why(), Duration.ofNanos(nanos), unended, 0));
      }
    }
    return Optional.empty();
  }

  /// A queue that nobody asks for anything does not notice that the store is back, but another
  /// does.
  private boolean isPast(StoreLane lane, StoreHealth.State trouble) {
    return lane.store().unended() == 0
        && lanes.stream().anyMatch(each -> each.store().answeredSince(trouble.failedNanos()));
  }

  @Override
  public void stopping() {
    for (StoreLane lane : lanes) {
      lane.loop().execute(lane.store()::stopping);
    }
  }

  @Override
  public TargetQueue openQueue(QueueContext context) throws TargetOpenException {
    StoreLane lane = lane(context);
    SeekTable table = image.frames();
    if (table != null && decoder != null) {
      Frames frames =
          new Frames(
              new Frames.Lane(
                  lane.loop(),
                  image.object(),
                  table,
                  lane.store(),
                  decoder,
                  new ByteBudget(BUDGET_BYTES / context.count()),
                  PooledByteBufAllocator.DEFAULT,
                  lane.counters(),
                  KEPT_BYTES / context.count()));
      return new CompressedImageQueue(image, table, lane, frames);
    }
    return new S3ImageQueue(
        image, lane.store(), BUDGET_BYTES / context.count(), lane.loop().ticker()::nanoTime);
  }

  private synchronized StoreLane lane(QueueContext context) throws TargetOpenException {
    StoreLane found = first;
    if (found != null && found.loop().equals(context.eventLoop())) {
      first = null;
      return found;
    }
    StoreLane opened =
        StoreLane.open(connector, image.uri().bucket(), options, context.eventLoop());
    lanes.add(opened);
    return opened;
  }

  @Override
  public synchronized void close() {
    if (first != null) {
      first.store().close();
      first = null;
    }
    if (decoder != null) {
      decoder.close();
    }
    connector.close();
  }
}
