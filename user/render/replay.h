// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// `replay`: one line or object a packet, then a summary.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

namespace anycast::render {

struct ReplayedPacket {
	std::uint64_t number = 0; // from 1, as in Wireshark
	std::string verdict;	  // "tx", "redirect", "pass", "drop", "aborted", "not_run"
	std::string reason;	  // "" if it was not run
	std::string vip, backend; // name and address; "" if none
	std::size_t length_in = 0, length_out = 0; // out: 0 if dropped
	std::string note;			   // why it was not run, or what was done to it
};

struct ReplaySummary {
	std::uint64_t packets = 0;
	std::map<std::string, std::uint64_t> verdicts, reasons;
	void add(const ReplayedPacket &packet);
};

nlohmann::ordered_json packet_json(const ReplayedPacket &packet);
std::string packet_text(const ReplayedPacket &packet); // one line
nlohmann::ordered_json summary_json(const ReplaySummary &summary);
std::string summary_text(const ReplaySummary &summary);

} // namespace anycast::render
