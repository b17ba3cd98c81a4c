package io.ublkbridge.target;

/// What a target can do; `io.ublkbridge.device.DeviceParameters` alone turns it into what the
/// kernel is told.
///
/// @param readOnly whether WRITE, DISCARD and WRITE_ZEROES are refused
/// @param volatileCache whether a completed write may be lost before the next FLUSH
/// @param fua whether a WRITE can be made durable by itself
/// @param discard whether DISCARD is understood
/// @param writeZeroes whether WRITE_ZEROES is understood
/// @param rotational whether seeks are dear
/// @param queues how many queues the target can use at once, at least 1
public record Capabilities(
    boolean readOnly,
    boolean volatileCache,
    boolean fua,
    boolean discard,
    boolean writeZeroes,
    boolean rotational,
    int queues) {

  public Capabilities {
    if (queues < 1) {
      throw new IllegalArgumentException("a target uses at least one queue, not " + queues);
    }
  }

  /// The same for a disk on which nothing may be changed.
  public Capabilities asReadOnly() {
    return new Capabilities(true, volatileCache, false, false, false, rotational, queues);
  }

  /// Whether requests of this kind can be served at all.
  public boolean allows(Operation operation) {
    return switch (operation) {
      case READ, FLUSH -> true;
      case WRITE -> !readOnly;
      case DISCARD -> !readOnly && discard;
      case WRITE_ZEROES -> !readOnly && writeZeroes;
    };
  }
}
