package io.ublkbridge.queue;

/// Who owns a tag.
enum SlotState {
  /// Nobody yet: the queue has not been started.
  NEW,
  /// The kernel: fetched or committed, no request here.
  KERNEL,
  /// Nobody: the request in it is kept from the target while the queue holds.
  HELD,
  /// The target: it has the request and must end it.
  TARGET,
  /// Nobody any more: the device is going away.
  GONE
}
