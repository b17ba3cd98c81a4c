package io.ublkbridge.target;

/// What a [BlockRequest] asks for.
public enum Operation {
  /// Bytes from the target to the requester, by [BlockRequest#storePayload].
  READ,
  /// Bytes from the requester to the target, by [BlockRequest#loadPayload].
  WRITE,
  /// Every write completed before this request becomes durable. Has neither offset nor length.
  FLUSH,
  /// The range's contents are no longer needed; what a later READ gives is undefined.
  DISCARD,
  /// The range reads as zeroes afterwards; [BlockRequest#mayUnmap] allows a hole for it.
  WRITE_ZEROES;

  /// Whether requests of this kind carry payload bytes.
  public boolean hasPayload() {
    return this == READ || this == WRITE;
  }

  /// Whether requests of this kind may change what the target stores.
  public boolean modifies() {
    return this == WRITE || this == DISCARD || this == WRITE_ZEROES;
  }
}
