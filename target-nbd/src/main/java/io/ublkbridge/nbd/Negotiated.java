package io.ublkbridge.nbd;

import io.ublkbridge.target.Offer;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/// What a handshake ended with.
///
/// @param info what requests depend on
/// @param name the export's name as the server calls it, cleaned; what was asked for if it is
///   silent
/// @param description the server's words about the export, cleaned, perhaps empty
/// @param exports what the server offers, if it was asked and told
/// @param allocationContext what the server calls `base:allocation`, if it was asked and agreed
record Negotiated(
    ExportInfo info,
    String name,
    String description,
    List<Offer> exports,
    OptionalInt allocationContext) {

  Negotiated {
    exports = List.copyOf(exports);
  }

  /// Names the export among those that the same URI may lead to at another time. Its size may
  /// change, and is compared by itself.
  String identity() {
    return "export '%s' (%s)".formatted(name, description);
  }

  /// The same of another length.
  Negotiated ofSize(long otherBytes) {
    ExportInfo other = new ExportInfo(otherBytes, info.flags(), info.blockSizes(), info.headers());
    return new Negotiated(other, name, description, exports, allocationContext);
  }

  /// What keeps another connection from being used in this one's place: whatever would make a
  /// request mean something else, or fail, or reach another disk.
  ///
  /// @return in words that continue "the server now offers another disk"; empty if nothing does
  Optional<String> differenceOf(Negotiated later) {
    if (!later.name.equals(name)) {
      return Optional.of("its name was '" + name + "' and is '" + later.name + "'");
    }
    if (!later.description.equals(description)) {
      return Optional.of(
          "its description was '" + description + "' and is '" + later.description + "'");
    }
    return info.differenceOf(later.info);
  }
}
