// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Public captures through the program: what real traffic does must pass, what another checker found
// malformed must be hit, and the oracle agrees on every frame. AX_CORPUS names the folder.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "net/pcap.h"
#include "prog/guard_comparison.h"
#include "support/corpus.h"

namespace anycast::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongest = 3400; // of a test run on old kernels

GuardRules without_addresses(GuardRules rules)
{
	for (const ax_reason rule :
	     {AX_R_IP4_SRC_MARTIAN, AX_R_IP4_DST_MARTIAN, AX_R_IP4_LAND, AX_R_IP4_SRC_SPECIAL,
	      AX_R_IP6_SRC_MARTIAN, AX_R_IP6_DST_MARTIAN, AX_R_IP6_LAND, AX_R_IP4_CHECKSUM_PASSED})
		rules = rules.with(rule, AX_ACTION_OFF);
	return rules;
}

class Corpus : public GuardComparison {
protected:
	template <typename Visit> void for_each_frame(const fs::path &file, Visit visit)
	{
		auto reader = CaptureReader::open(file.string());
		ASSERT_TRUE(reader) << reader.error().what;
		while (true) {
			auto frame = reader->next();
			if (!frame) { // link types mixed in one file: libpcap cannot
				++unreadable_;
				return;
			}
			if (!*frame)
				return;
			if ((*frame)->bytes.size() < 14 || (*frame)->bytes.size() > kLongest)
				++left_out_;
			else
				visit(**frame);
		}
	}
	std::uint64_t frames_ = 0, left_out_ = 0, unreadable_ = 0;
};

TEST_F(Corpus, NoCleanFrameIsDropped)
{
	const fs::path folder = corpus() / "clean";
	if (!fs::is_directory(folder))
		GTEST_SKIP() << "no " << folder << ": set AX_CORPUS to the folder of the captures";
	use(without_addresses({}));
	std::uint64_t dropped = 0, cut = 0;
	for (const fs::path &file : files_in(folder)) {
		for_each_frame(file, [&](const CapturedFrame &frame) {
			if (frame.is_cut()) {
				++cut;
				return;
			}
			++frames_;
			std::uint32_t verdict = 0;
			ax_trace trace{};
			ASSERT_TRUE(run(frame.bytes, verdict, trace)) << file;
			dropped += verdict != XDP_PASS;
			EXPECT_EQ(verdict, static_cast<std::uint32_t>(XDP_PASS))
				<< file << ": "
				<< reason_label(static_cast<ax_reason>(trace.reason));
		});
	}
	std::cout << frames_ << " frames, " << dropped << " dropped; left out: " << cut
		  << " cut when captured, " << left_out_
		  << " too long or too short for a test run, " << unreadable_
		  << " files partly unreadable\n";
	EXPECT_GT(frames_, 50000U);
}

TEST_F(Corpus, EveryMalformedFileIsHit)
{
	std::ifstream list(corpus() / "malformed.tsv");
	if (!list)
		GTEST_SKIP() << "no " << corpus() / "malformed.tsv"
			     << ": set AX_CORPUS to the folder of the captures";
	std::string line;
	std::getline(list, line); // headings
	std::uint64_t files = 0;
	for (; std::getline(list, line); ++files) {
		const std::string file = line.substr(0, line.find('\t'));
		bool refused = false;
		for (const GuardRules &rules :
		     {without_addresses({}), without_addresses(GuardRules::all(AX_ACTION_COUNT))}) {
			use(rules);
			for_each_frame(corpus() / "malformed" / file, [&](CapturedFrame frame) {
				const auto look = [&] {
					if (frame.bytes.size() > kLongest)
						return;
					++frames_;
					const Expected said = expected_of(frame.bytes, rules);
					refused |= said.reason >= 48 || !said.noted.empty();
					EXPECT_EQ(difference(frame.bytes), "") << file;
				};
				look();
				if (frame.is_cut() && frame.original_length <= kLongest) {
					frame.bytes.resize(frame.original_length);
					look();
				}
			});
		}
		if (left_out_ == 0) {
			EXPECT_TRUE(refused) << file;
		}
		left_out_ = 0;
	}
	std::cout << files << " files, " << frames_ << " frames as the oracle says\n";
	EXPECT_EQ(files, 62U);
}

} // namespace
} // namespace anycast::test
