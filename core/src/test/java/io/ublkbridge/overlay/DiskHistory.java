package io.ublkbridge.overlay;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// What each sector may hold: the last write that a flush has covered, or any later one. Writes to
/// one sector never run at the same time, so they have an order.
final class DiskHistory {
  private static final class Sector {
    /// Every write since the power came back, oldest first.
    final List<Integer> writes = new ArrayList<>(List.of(SectorBytes.BASE));

    /// The oldest that may survive: the last one that a flush has covered.
    int durable;

    /// The last one that has ended well.
    int ended;

    boolean busy;

    void keep(int write) {
      durable = Math.max(durable, write);
    }

    List<Integer> from(int write) {
      return writes.subList(write, writes.size());
    }
  }

  private final Map<Long, Sector> sectors = new HashMap<>();
  private final long[] numbers;

  DiskHistory(long[] numbers) {
    this.numbers = numbers;
    for (long number : numbers) {
      sectors.put(number, new Sector());
    }
  }

  private Sector sector(long number) {
    Sector sector = sectors.get(number);
    if (sector == null) {
      throw new AssertionError("sector " + number + " is not watched");
    }
    return sector;
  }

  private List<Sector> watched(long from, long to) {
    return Arrays.stream(numbers)
        .filter(number -> number >= from && number < to)
        .mapToObj(this::sector)
        .toList();
  }

  boolean busy(long from, long to) {
    return watched(from, to).stream().anyMatch(sector -> sector.busy);
  }

  void begin(long from, long to, int write) {
    for (Sector sector : watched(from, to)) {
      sector.busy = true;
      sector.writes.add(write);
    }
  }

  /// @param durable whether it is as if a flush had covered it
  void end(long from, long to, boolean well, boolean durable) {
    for (Sector sector : watched(from, to)) {
      sector.busy = false;
      if (well) {
        sector.ended = sector.writes.size() - 1;
        if (durable) {
          sector.keep(sector.ended);
        }
      }
    }
  }

  /// What has ended now, sector by sector: for a flush or read that begins.
  int[] now() {
    return Arrays.stream(numbers).mapToInt(number -> sector(number).ended).toArray();
  }

  void flushed(int[] then) {
    for (int i = 0; i < numbers.length; i++) {
      sector(numbers[i]).keep(then[i]);
    }
  }

  /// Checks what a READ that began then has seen.
  void checkRead(int[] then, long number, int write) {
    int index = Arrays.binarySearch(numbers, number);
    List<Integer> possible = sector(number).from(then[index]);
    if (!possible.contains(write)) {
      throw new AssertionError(
          "sector %d reads as of write %d, not as of one of %s".formatted(number, write, possible));
    }
  }

  /// Checks what a sector holds after the power has failed, and goes on from there.
  void survived(long number, int write) {
    Sector sector = sector(number);
    List<Integer> possible = sector.from(sector.durable);
    if (!possible.contains(write)) {
      throw new AssertionError(
          "sector %d survived as of write %d, not as of one of %s"
              .formatted(number, write, possible));
    }
    sector.writes.clear();
    sector.writes.add(write);
    sector.durable = 0;
    sector.ended = 0;
    sector.busy = false;
  }
}
