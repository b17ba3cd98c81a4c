package io.ublkbridge.nbd;

import java.util.List;

/// What a handshake ended with.
///
/// @param info what requests depend on
/// @param name the export's name as the server calls it, cleaned; what was asked for if it is
///   silent
/// @param description the server's words about the export, cleaned, perhaps empty
/// @param exports what the server offers, if it was asked and told
record Negotiated(
    ExportInfo info, String name, String description, List<OptionReply.Server> exports) {

  Negotiated {
    exports = List.copyOf(exports);
  }
}
