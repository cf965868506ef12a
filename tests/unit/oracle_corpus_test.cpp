// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The oracle against public captures: what real traffic does must pass, what another checker found
// malformed must be hit. AX_CORPUS names the folder.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "net/pcap.h"
#include "support/corpus.h"
#include "support/oracle.h"

namespace anycast::test {
namespace {

namespace fs = std::filesystem;

// Returns libpcap's complaint, "" if the file was read to its end.
template <typename Visit> std::string for_each_frame(const fs::path &file, Visit visit)
{
	auto reader = CaptureReader::open(file.string());
	if (!reader)
		return reader.error().what;
	for (std::size_t number = 1;; ++number) {
		const auto frame = reader->next();
		if (!frame)
			return frame.error().what;
		if (!*frame)
			break;
		visit(number, **frame);
	}
	EXPECT_EQ(reader->skipped(), 0u) << file;
	return "";
}

TEST(OracleCorpusTest, NoCleanFrameIsDropped)
{
	const fs::path folder = corpus() / "clean";
	if (!fs::is_directory(folder))
		GTEST_SKIP() << "no " << folder << ": set AX_CORPUS to the folder of the captures";
	const GuardRules rules = GuardRules{}.without_addresses();
	std::size_t frames = 0, dropped = 0;
	std::map<std::string, std::size_t> cut;
	std::set<std::string> unreadable;
	for (const fs::path &file : files_in(folder)) {
		const std::string complaint =
			for_each_frame(file, [&](std::size_t number, const CapturedFrame &frame) {
				if (frame.is_cut()) {
					++cut[file.filename().string()];
					return;
				}
				++frames;
				const GuardVerdict verdict = guard_oracle(frame.bytes, rules);
				dropped += verdict.verdict != AX_CONTINUE;
				EXPECT_EQ(verdict.verdict, AX_CONTINUE)
					<< file << " frame " << number << ": " << verdict;
			});
		if (!complaint.empty()) {
			std::cout << "[  PARTLY  ] " << complaint << "\n";
			unreadable.insert(file.filename().string());
		}
	}
	for (const auto &[file, count] : cut)
		std::cout << "[ LEFT OUT ] " << file << ": " << count
			  << " frames cut when captured\n";
	std::cout << frames << " frames inspected, " << dropped << " dropped\n";
	// Interfaces of different link types in one file: libpcap cannot.
	EXPECT_EQ(unreadable, (std::set<std::string>{"ldap__gap-data-missing.pcapng",
						     "ldap__modify-request.pcapng"}));
	EXPECT_GT(frames, 50000u);
}

bool hit_by(const std::set<ax_reason> &hit, const std::set<ax_reason> &family)
{
	return std::ranges::any_of(family, [&](ax_reason rule) { return hit.contains(rule); });
}

// The other checker's families. It takes an IPv6 payload length of 0 at its word where the guard
// takes the frame's length, and it gives fragments' cut headers the name of whole packets' ones.
const std::map<std::string, std::set<ax_reason>> &families()
{
	static const std::map<std::string, std::set<ax_reason>> table{
		{"eth.trunc", {AX_R_ETH_TRUNCATED}},
		{"eth.type_ver_mismatch", {AX_R_IP4_VERSION, AX_R_IP6_VERSION}},
		{"icmp.fragmented", {AX_R_ICMP_FRAGMENTED}},
		{"icmp.trunc", {AX_R_ICMP_TRUNCATED, AX_R_IP6_FRAG_NO_UPPER}},
		{"tcp.doff_gt_len", {AX_R_TCP_DATA_OFFSET}},
		{"tcp.doff_lt5", {AX_R_TCP_DATA_OFFSET}},
		{"tcp.dport0", {AX_R_TCP_PORT_ZERO}},
		{"tcp.fin_rst", {AX_R_TCP_FIN_RST}},
		{"tcp.none_of_syn_rst_ack", {AX_R_TCP_NO_ACK}},
		{"tcp.null", {AX_R_TCP_NO_FLAGS}},
		{"tcp.opt_malformed", {AX_R_TCP_OPTION_LENGTH}},
		{"tcp.syn_fin", {AX_R_TCP_SYN_FIN}},
		{"tcp.syn_rst", {AX_R_TCP_SYN_RST}},
		{"tcp.trunc", {AX_R_TCP_TRUNCATED, AX_R_IP6_FRAG_NO_UPPER}},
		{"udp.dport0", {AX_R_UDP_PORT_ZERO}},
		{"udp.len_gt_ip", {AX_R_UDP_LENGTH}},
		{"udp.len_lt8", {AX_R_UDP_LENGTH}},
		{"udp.trunc", {AX_R_UDP_TRUNCATED, AX_R_IP6_FRAG_NO_UPPER, AX_R_IP6_ZERO_LENGTH}},
		{"v4.frag_mf_not_mult8", {AX_R_IP4_FRAG_LENGTH}},
		{"v4.frag_past_65535", {AX_R_IP4_FRAG_BEYOND}},
		{"v4.ihl_lt5", {AX_R_IP4_IHL}},
		{"v4.off1_tcp(RFC3128)", {AX_R_IP4_FRAG_OFFSET1}},
		{"v4.opt_malformed", {AX_R_IP4_OPTION_LENGTH}},
		{"v4.tiny_first_tcp", {AX_R_IP4_FRAG_TINY}},
		{"v4.totlen_gt_frame", {AX_R_IP4_TOTAL_LENGTH}},
		{"v4.version", {AX_R_IP4_VERSION}},
		{"v6.ext_gt10", {AX_R_IP6_EXT_TOO_MANY}},
		{"v6.ext_trunc", {AX_R_IP6_EXT_TRUNCATED, AX_R_IP6_ZERO_LENGTH}},
		{"v6.frag_mf_not_mult8", {AX_R_IP6_FRAG_LENGTH}},
		{"v6.frag_nested", {AX_R_IP6_FRAG_NESTED}},
		{"v6.frag_past_65535", {AX_R_IP6_FRAG_BEYOND}},
		{"v6.plen_gt_frame", {AX_R_IP6_PAYLOAD_LENGTH}},
		{"v6.version", {AX_R_IP6_VERSION}},
	};
	return table;
}

TEST(OracleCorpusTest, EveryMalformedFileIsHitByTheFamiliesItNames)
{
	std::ifstream list(corpus() / "malformed.tsv");
	if (!list)
		GTEST_SKIP() << "no " << corpus() / "malformed.tsv"
			     << ": set AX_CORPUS to the folder of the captures";
	const GuardRules count = GuardRules::all(AX_ACTION_COUNT).without_addresses();
	std::string line;
	std::getline(list, line); // headings
	std::size_t files = 0, hidden = 0;
	for (; std::getline(list, line); ++files) {
		std::istringstream fields(line);
		std::string file, frames, family;
		fields >> file >> frames;
		std::set<ax_reason> hit, ended;
		bool refused = false; // by default: dropped, or counted
		(void)for_each_frame(corpus() / "malformed" / file, [&](std::size_t,
									CapturedFrame frame) {
			const auto inspect = [&] {
				const GuardVerdict all = guard_oracle(frame.bytes, count);
				hit.insert(all.counted.begin(), all.counted.end());
				if (all.seen == Seen::kOpaque)
					ended.insert(all.counted.back());
				const GuardVerdict verdict =
					guard_oracle(frame.bytes, GuardRules{}.without_addresses());
				refused |=
					verdict.verdict != AX_CONTINUE || !verdict.counted.empty();
			};
			inspect();
			// What the capture cut off, as zeros: the other checker looked past the
			// cut.
			if (frame.is_cut() && frame.original_length <= 262144) {
				frame.bytes.resize(frame.original_length);
				inspect();
			}
		});
		EXPECT_TRUE(refused) << file;
		std::vector<std::string> missed;
		bool ended_by_named = false;
		while (fields >> family) {
			family.resize(family.find('='));
			const auto row = families().find(family);
			ASSERT_NE(row, families().end()) << "unknown family " << family;
			if (!hit_by(hit, row->second))
				missed.push_back(family);
			ended_by_named |= hit_by(ended, row->second);
		}
		// The other checker goes on behind a length beyond the frame, the guard does not.
		if (ended_by_named)
			hidden += missed.size();
		else
			EXPECT_EQ(missed, std::vector<std::string>{}) << file;
	}
	std::cout << files << " files hit, " << hidden
		  << " families hidden by another family of the same frame\n";
	EXPECT_LE(hidden, 4u);
	EXPECT_EQ(files, 62u);
}

} // namespace
} // namespace anycast::test
