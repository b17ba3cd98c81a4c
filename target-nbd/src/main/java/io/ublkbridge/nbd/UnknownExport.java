package io.ublkbridge.nbd;

import io.ublkbridge.target.Offer;
import java.util.List;

/// The server does not have the export, and says what it has instead.
final class UnknownExport extends Exception {
  private static final long serialVersionUID = 1L;

  private final transient List<Offer> exports;

  UnknownExport(List<Offer> exports) {
    super("the server has " + exports.size() + " other exports");
    this.exports = List.copyOf(exports);
  }

  List<Offer> exports() {
    return exports;
  }
}
