package io.ublkbridge.nbd;

import io.ublkbridge.target.Offer;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;

/// The exports that a server listed, and what it says about each when asked for it.
///
/// Confined to one thread.
final class ExportCatalog {
  /// How many exports are asked after; each costs a round trip.
  static final int ASKED_MAX = 64;

  /// Names as they came, to ask with.
  private final List<String> names = new ArrayList<>();

  private final List<Offer> offers = new ArrayList<>();

  /// The export that was asked after last.
  private int asked = -1;

  void add(OptionReply.Server export) {
    names.add(export.name());
    offers.add(
        new Offer(ServerText.clean(export.name()), OptionalLong.empty(), export.description()));
  }

  /// Moves on to the next export to ask after.
  ///
  /// @return false if there is none
  boolean next() {
    if (asked + 1 >= Math.min(names.size(), ASKED_MAX)) {
      return false;
    }
    asked++;
    return true;
  }

  /// Asks after no further export.
  void askNoMore() {
    asked = names.size();
  }

  /// The name of the export to ask after, as the server wrote it.
  String name() {
    return names.get(asked);
  }

  /// Notes the size of the export that was asked after. Servers that compute a size only for GO say
  /// 0 here, and so that counts as no answer.
  void size(long sizeBytes) {
    if (sizeBytes > 0) {
      Offer known = offers.get(asked);
      offers.set(asked, new Offer(known.name(), OptionalLong.of(sizeBytes), known.description()));
    }
  }

  /// Notes the description of the export that was asked after, unless the list had one.
  void description(String description) {
    Offer known = offers.get(asked);
    if (known.description().isEmpty()) {
      offers.set(asked, new Offer(known.name(), known.sizeBytes(), description));
    }
  }

  List<Offer> offers() {
    return List.copyOf(offers);
  }
}
