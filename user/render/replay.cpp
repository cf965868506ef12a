// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "render/replay.h"

#include <string_view>

#include <fmt/format.h>

#include "render/table.h"

namespace anycast::render {

namespace {

using nlohmann::ordered_json;

ordered_json text_or_null(std::string_view text)
{
	return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

} // namespace

void ReplaySummary::add(const ReplayedPacket &packet)
{
	packets++;
	verdicts[packet.verdict]++;
	if (!packet.reason.empty())
		reasons[packet.reason]++;
}

ordered_json packet_json(const ReplayedPacket &packet)
{
	ordered_json json{{"packet", packet.number},
			  {"verdict", packet.verdict},
			  {"reason", text_or_null(packet.reason)},
			  {"vip", text_or_null(packet.vip)},
			  {"backend", text_or_null(packet.backend)},
			  {"length_in", packet.length_in},
			  {"length_out", packet.length_out}};
	if (!packet.note.empty())
		json["note"] = packet.note;
	return json;
}

std::string packet_text(const ReplayedPacket &packet)
{
	std::string line = fmt::format("{:>6}  {:<8}  {:<20}", packet.number, packet.verdict,
				       packet.reason.empty() ? "-" : packet.reason);
	if (!packet.vip.empty())
		line += fmt::format("  {} -> {}", packet.vip,
				    packet.backend.empty() ? "-" : packet.backend);
	line += fmt::format("  {} > {} bytes", packet.length_in, packet.length_out);
	if (!packet.note.empty())
		line += fmt::format("  ({})", packet.note);
	return line + "\n";
}

ordered_json summary_json(const ReplaySummary &summary)
{
	ordered_json inner{{"packets", summary.packets},
			   {"verdicts", summary.verdicts},
			   {"reasons", summary.reasons}};
	return {{"summary", std::move(inner)}};
}

std::string summary_text(const ReplaySummary &summary)
{
	Table table({{"REASON"}, {"PACKETS", Align::kRight}});
	for (const auto &[reason, packets] : summary.reasons)
		table.row({reason, std::to_string(packets)});
	std::string verdicts;
	for (const auto &[verdict, packets] : summary.verdicts)
		verdicts += fmt::format(", {} {}", packets, verdict);
	return fmt::format("\n{}{}\n", count_text(summary.packets, "packet"), verdicts) +
	       (table.empty() ? "" : table.text(2));
}

} // namespace anycast::render
