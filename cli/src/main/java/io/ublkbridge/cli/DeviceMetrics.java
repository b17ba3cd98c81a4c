package io.ublkbridge.cli;

import io.prometheus.metrics.model.registry.MultiCollector;
import io.prometheus.metrics.model.snapshots.ClassicHistogramBuckets;
import io.prometheus.metrics.model.snapshots.CounterSnapshot;
import io.prometheus.metrics.model.snapshots.CounterSnapshot.CounterDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot;
import io.prometheus.metrics.model.snapshots.GaugeSnapshot.GaugeDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot;
import io.prometheus.metrics.model.snapshots.HistogramSnapshot.HistogramDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.InfoSnapshot;
import io.prometheus.metrics.model.snapshots.InfoSnapshot.InfoDataPointSnapshot;
import io.prometheus.metrics.model.snapshots.Labels;
import io.prometheus.metrics.model.snapshots.MetricSnapshot;
import io.prometheus.metrics.model.snapshots.MetricSnapshots;
import io.ublkbridge.cli.DeviceRecord.Disk;
import io.ublkbridge.target.Operation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramIterationValue;
import org.jspecify.annotations.Nullable;

/// All devices of a machine as Prometheus metrics. Each scrape asks their servers anew.
///
/// Names, labels and units follow <https://prometheus.io/docs/practices/naming/>; docs/metrics.md
/// lists them.
final class DeviceMetrics implements MultiCollector {
  private static final String PREFIX = "ublkbridge_";
  private static final String[] STATES = {
    "live", "degraded", "changing", "recovering", "lost", "dead"
  };

  /// From 25 µs, each twice as long as the one before; the last is 52 s.
  private static final long FIRST_BOUND_MICROS = 25;

  private static final int BOUNDS = 22;
  private static final double MICROS_PER_SECOND = 1e6;

  /// One number of a volume.
  ///
  /// @param value null where there is none
  private record OfVolume(
      String name, String help, Function<DeviceReading, @Nullable Number> value) {}

  private static final List<OfVolume> GAUGES =
      List.of(
          new OfVolume(
              "volume_answers",
              "Whether the server says what it does; if not, what it would say is missing.",
              reading -> reading.answer() == null ? 0 : 1),
          new OfVolume(
              "volume_size_bytes", "Size of the disk.", reading -> disk(reading, Disk::sizeBytes)),
          new OfVolume(
              "queue_depth",
              "Requests that the kernel may have under way.",
              reading -> disk(reading, disk -> disk.queues() * disk.depth())),
          new OfVolume(
              "requests_in_flight", "Requests that the target has.", said("io", "inFlight")),
          new OfVolume(
              "requests_waiting",
              "Requests that wait for a remote that cannot be reached.",
              saidOrNothing("outage", "requestsWaiting")),
          new OfVolume(
              "outage_seconds",
              "How long the remote has not been reached; 0 if it is.",
              saidOrNothing("outage", "seconds")),
          new OfVolume(
              "cache_size_bytes", "Bytes in memory.", said("target", "cache", "cachedBytes")),
          new OfVolume(
              "cache_capacity_bytes",
              "Bytes that fit into memory.",
              said("target", "cache", "size")));

  private static final List<OfVolume> COUNTERS =
      List.of(
          new OfVolume("recoveries", "Servers that took the disk over.", DeviceMetrics::recoveries),
          new OfVolume(
              "cache_coalesced",
              "Blocks that were on their way already.",
              said("target", "cache", "shared")),
          new OfVolume("cache_evictions", "Blocks given up.", said("target", "cache", "evictions")),
          new OfVolume(
              "cache_fill_bytes",
              "Bytes that the target gave to the cache.",
              said("target", "cache", "fillBytes")),
          new OfVolume(
              "remote_reconnects",
              "Connections made again after a loss.",
              said("target", "reconnects")),
          new OfVolume("remote_gets", "GETs sent to a store.", said("target", "gets")),
          new OfVolume(
              "remote_fetched_bytes", "Bytes that a store sent.", said("target", "bytesFetched")),
          new OfVolume(
              "remote_retries", "Requests sent again to a store.", said("target", "retries")),
          new OfVolume(
              "remote_throttled",
              "Answers of a store that asked to slow down.",
              said("target", "throttles")));

  private final DeviceRegistry registry;

  DeviceMetrics(Host host) {
    this.registry = new DeviceRegistry(host);
  }

  @Override
  public MetricSnapshots collect() {
    List<DeviceReading> readings = DeviceReading.of(registry, registry.all());
    List<DeviceReading> told =
        readings.stream().filter(reading -> reading.answer() != null).toList();
    List<MetricSnapshot> metrics = new ArrayList<>();
    metrics.add(build());
    metrics.add(volumes(readings));
    metrics.add(states(readings));
    metrics.add(requests(told));
    metrics.add(errors(told));
    metrics.add(requestBytes(told));
    metrics.add(durations(told));
    metrics.add(tiers("cache_hits", "Blocks that were there.", told, "hits"));
    metrics.add(tiers("cache_misses", "Blocks that were not.", told, "misses"));
    GAUGES.forEach(metric -> metrics.add(gauge(metric, readings)));
    COUNTERS.forEach(metric -> metrics.add(counter(metric, readings)));
    return new MetricSnapshots(metrics);
  }

  private static @Nullable Number disk(
      DeviceReading reading, Function<Disk, @Nullable Number> value) {
    Disk disk = reading.record().disk();
    return disk == null ? null : value.apply(disk);
  }

  private static Number recoveries(DeviceReading reading) {
    DeviceRecord.Recovery recovery = reading.record().recovery();
    return recovery == null ? 0 : recovery.count();
  }

  private static Function<DeviceReading, @Nullable Number> said(String... path) {
    return reading -> reading.numberOrNull(path);
  }

  /// 0 where the server has said nothing of it.
  private static Function<DeviceReading, @Nullable Number> saidOrNothing(String... path) {
    return reading ->
        reading.answer() == null
            ? null
            : Objects.requireNonNullElse(reading.numberOrNull(path), 0L);
  }

  private static MetricSnapshot build() {
    String version = DeviceMetrics.class.getPackage().getImplementationVersion();
    return InfoSnapshot.builder()
        .name(PREFIX + "build")
        .help("This exporter.")
        .dataPoint(
            InfoDataPointSnapshot.builder()
                .labels(
                    Labels.of(
                        "version",
                        Objects.requireNonNullElse(version, "not packaged"),
                        "java",
                        Runtime.version().toString()))
                .build())
        .build();
  }

  private static MetricSnapshot volumes(List<DeviceReading> readings) {
    InfoSnapshot.Builder info =
        InfoSnapshot.builder().name(PREFIX + "volume").help("What is attached.");
    for (DeviceReading reading : readings) {
      DeviceRecord record = reading.record();
      Disk disk = record.disk();
      String source = record.source();
      info.dataPoint(
          InfoDataPointSnapshot.builder()
              .labels(
                  Labels.of(
                      "volume",
                      record.name(),
                      "device",
                      record.device(),
                      "scheme",
                      source.substring(0, Math.max(0, source.indexOf(':'))),
                      "source",
                      source,
                      "mode",
                      disk != null && disk.readOnly() ? "ro" : "rw"))
              .build());
    }
    return info.build();
  }

  private static MetricSnapshot states(List<DeviceReading> readings) {
    GaugeSnapshot.Builder states =
        GaugeSnapshot.builder()
            .name(PREFIX + "volume_state")
            .help("1 for the state that the volume is in.");
    for (DeviceReading reading : readings) {
      for (String state : STATES) {
        states.dataPoint(
            point(
                Labels.of("volume", reading.record().name(), "state", state),
                state.equals(reading.state()) ? 1 : 0));
      }
    }
    return states.build();
  }

  private static MetricSnapshot requests(List<DeviceReading> readings) {
    CounterSnapshot.Builder requests =
        CounterSnapshot.builder().name(PREFIX + "requests").help("Requests that have ended.");
    for (DeviceReading reading : readings) {
      for (Operation operation : Operation.values()) {
        OperationFigures figures = reading.of(operation);
        Labels labels = labels(reading, operation);
        requests.dataPoint(counted(labels.add("result", "ok"), figures.count() - figures.errors()));
        requests.dataPoint(counted(labels.add("result", "error"), figures.errors()));
      }
    }
    return requests.build();
  }

  private static MetricSnapshot errors(List<DeviceReading> readings) {
    CounterSnapshot.Builder errors =
        CounterSnapshot.builder().name(PREFIX + "io_errors").help("Requests that have failed.");
    for (DeviceReading reading : readings) {
      for (Operation operation : Operation.values()) {
        Labels labels = labels(reading, operation);
        reading
            .of(operation)
            .failures()
            .forEach((error, times) ->
                errors.dataPoint(counted(labels.add("errno", error.errnoName()), times)));
      }
    }
    return errors.build();
  }

  private static MetricSnapshot requestBytes(List<DeviceReading> readings) {
    CounterSnapshot.Builder bytes =
        CounterSnapshot.builder()
            .name(PREFIX + "request_bytes")
            .help("Lengths of the requests that have ended well.");
    for (DeviceReading reading : readings) {
      for (Operation operation : Operation.values()) {
        if (operation != Operation.FLUSH) {
          bytes.dataPoint(counted(labels(reading, operation), reading.of(operation).bytes()));
        }
      }
    }
    return bytes.build();
  }

  private static MetricSnapshot durations(List<DeviceReading> readings) {
    HistogramSnapshot.Builder durations =
        HistogramSnapshot.builder()
            .name(PREFIX + "request_duration_seconds")
            .help("From the kernel's request to its end.");
    for (DeviceReading reading : readings) {
      for (Operation operation : Operation.values()) {
        Histogram latencies = reading.of(operation).latencies();
        durations.dataPoint(
            HistogramDataPointSnapshot.builder()
                .labels(labels(reading, operation))
                .classicHistogramBuckets(buckets(latencies))
                .sum(latencies.getMean() * latencies.getTotalCount() / MICROS_PER_SECOND)
                .build());
      }
    }
    return durations.build();
  }

  static ClassicHistogramBuckets buckets(Histogram latencies) {
    double[] bounds = new double[BOUNDS + 1];
    long[] counts = new long[BOUNDS + 1];
    for (int bucket = 0; bucket < BOUNDS; bucket++) {
      bounds[bucket] = (FIRST_BOUND_MICROS << bucket) / MICROS_PER_SECOND;
    }
    bounds[BOUNDS] = Double.POSITIVE_INFINITY;
    for (HistogramIterationValue value : latencies.recordedValues()) {
      double seconds = value.getValueIteratedTo() / MICROS_PER_SECOND;
      int found = Arrays.binarySearch(bounds, seconds);
      counts[found < 0 ? -found - 1 : found] += value.getCountAddedInThisIterationStep();
    }
    return ClassicHistogramBuckets.of(bounds, counts);
  }

  private static MetricSnapshot tiers(
      String name, String help, List<DeviceReading> readings, String field) {
    CounterSnapshot.Builder counter = CounterSnapshot.builder().name(PREFIX + name).help(help);
    for (DeviceReading reading : readings) {
      Labels volume = volume(reading);
      Long memory = reading.numberOrNull("target", "cache", field);
      Long disk = reading.numberOrNull("target", "cache", "disk", field);
      if (memory != null) {
        counter.dataPoint(counted(volume.add("tier", "memory"), memory));
      }
      if (disk != null) {
        counter.dataPoint(counted(volume.add("tier", "disk"), disk));
      }
    }
    return counter.build();
  }

  private static MetricSnapshot gauge(OfVolume metric, List<DeviceReading> readings) {
    GaugeSnapshot.Builder gauge =
        GaugeSnapshot.builder().name(PREFIX + metric.name).help(metric.help);
    for (DeviceReading reading : readings) {
      Number number = metric.value.apply(reading);
      if (number != null) {
        gauge.dataPoint(point(volume(reading), number.doubleValue()));
      }
    }
    return gauge.build();
  }

  private static MetricSnapshot counter(OfVolume metric, List<DeviceReading> readings) {
    CounterSnapshot.Builder counter =
        CounterSnapshot.builder().name(PREFIX + metric.name).help(metric.help);
    for (DeviceReading reading : readings) {
      Number number = metric.value.apply(reading);
      if (number != null) {
        counter.dataPoint(counted(volume(reading), number.longValue()));
      }
    }
    return counter.build();
  }

  private static Labels volume(DeviceReading reading) {
    return Labels.of("volume", reading.record().name());
  }

  private static Labels labels(DeviceReading reading, Operation operation) {
    return volume(reading).add("op", OperationFigures.name(operation));
  }

  private static GaugeDataPointSnapshot point(Labels labels, double value) {
    return GaugeDataPointSnapshot.builder().labels(labels).value(value).build();
  }

  private static CounterDataPointSnapshot counted(Labels labels, long value) {
    return CounterDataPointSnapshot.builder().labels(labels).value((double) value).build();
  }
}
