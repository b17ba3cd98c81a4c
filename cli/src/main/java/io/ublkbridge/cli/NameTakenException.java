package io.ublkbridge.cli;

/// Another device took the name while this one was being made.
final class NameTakenException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  NameTakenException(String name, DeviceRecord owner) {
    super("the name '" + name + "' belongs to " + owner.device() + " (" + owner.source() + ")");
  }

  String remedy() {
    return "choose another one with --name";
  }
}
