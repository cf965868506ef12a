// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Public captures that lack packets because whoever captured missed them, or have them twice: no
// loss. Every address and port that something is sent to is a service, so that both directions are
// measured. AX_CORPUS names the folder.
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>

#include "net/pcap.h"
#include "support/program_fixture.h"

namespace anycast::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongest = 3400;	  // of a test run on old kernels
constexpr std::size_t kMostServices = 60; // of a capture: of the others nothing is measured

fs::path folder()
{
	const char *given = std::getenv("AX_CORPUS"); // NOLINT(concurrency-mt-unsafe)
	return fs::path(given != nullptr ? given : "../shared/corpus") / "clean";
}

struct Found {
	std::uint64_t segments = 0, lost = 0, unseen = 0, duplicated = 0, flows = 0;
};

class LossCorpus : public ProgramTest {
protected:
	void SetUp() override
	{
		ProgramTest::SetUp();
		if (!fs::is_directory(folder()))
			GTEST_SKIP() << "no " << folder() << ": set AX_CORPUS";
	}

	static std::vector<CapturedFrame> frames_of(const std::string &name)
	{
		std::vector<CapturedFrame> frames;
		auto reader = CaptureReader::open((folder() / name).string());
		EXPECT_TRUE(reader) << name;
		while (reader) {
			auto frame = reader->next();
			if (!frame || !*frame)
				break;
			if ((*frame)->bytes.size() >= 54 && (*frame)->bytes.size() <= kLongest)
				frames.push_back(std::move(**frame));
		}
		return frames;
	}

	// Whole IPv4 segments only: what all of these captures have.
	static std::optional<std::pair<Address, std::uint16_t>> target_of(const Bytes &frame)
	{
		const std::size_t l4 = 14 + (frame[14] & 15) * 4U;
		if (frame[12] != 8 || frame[13] != 0 || frame[23] != kTcp || frame.size() < l4 + 20)
			return std::nullopt;
		const auto host = static_cast<std::uint32_t>(frame[30] << 24 | frame[31] << 16 |
							     frame[32] << 8 | frame[33]);
		return std::pair{Address::v4(host),
				 static_cast<std::uint16_t>(frame[l4 + 2] << 8 | frame[l4 + 3])};
	}

	Found measure(const std::string &name)
	{
		const std::vector<CapturedFrame> frames = frames_of(name);
		std::set<std::pair<Address, std::uint16_t>> targets;
		for (const CapturedFrame &frame : frames)
			if (const auto target = target_of(frame.bytes);
			    target && targets.size() < kMostServices)
				targets.insert(*target);
		if (targets.empty())
			return {};
		Config config = two_families();
		config.vips.clear();
		config.rules = every_rule(AX_ACTION_OFF);
		for (const auto &[address, port] : targets)
			config.vips.push_back(vip_at(fmt::format("v{}", config.vips.size()),
						     address.text(), port, kTcp, "web"));
		apply(config, {}, 9000);
		reset_flows();
		for (const CapturedFrame &frame : frames) {
			set_clock_us(frame.time_ns / 1000);
			send(frame.bytes);
		}
		Found found;
		for (const FlowRecord &flow : flows()) {
			const LossReport report = loss_report(flow);
			if (!report.c2s_up_lost.value)
				continue;
			found.flows++;
			found.segments += report.c2s_up_lost.of;
			found.lost += *report.c2s_up_lost.value;
			found.unseen += report.c2s_up_lost.unrepaired + report.c2s_up_lost.resync;
			found.duplicated += flow.loss.duplicated + flow.loss.rtx_seen;
		}
		std::printf("%s: %lu segments of %lu flows: lost %lu, unseen %lu, twice %lu\n",
			    name.c_str(), found.segments, found.flows, found.lost, found.unseen,
			    found.duplicated);
		return found;
	}
};

TEST_F(LossCorpus, WhatTheCaptureMissesIsNoLoss)
{
	for (const char *name :
	     {"http__content-range-gap-skip.pcap", "http__content-range-gap.pcap",
	      "http__entity_gap.pcap", "http__entity_gap2.pcap", "smtp__smtp-bdat-gap.pcap"}) {
		const Found found = measure(name);
		EXPECT_GT(found.segments, 0U) << name;
		EXPECT_EQ(found.lost, 0U) << name;
		EXPECT_GE(found.unseen, 1U) << name;
	}
}

TEST_F(LossCorpus, WhatWasCapturedTwiceIsNoLoss)
{
	for (const char *name : {"tcp__ssh-dups.pcap", "tls__google-duplicate.pcap"}) {
		const Found found = measure(name);
		EXPECT_GT(found.segments, 0U) << name;
		EXPECT_EQ(found.lost, 0U) << name;
	}
}

// Who sent again what was lost; and a segment that was 8 ms late, which without timestamps only
// time could tell.
const std::map<std::string, std::uint64_t> kLost = {{"http__concurrent-range-requests.pcap", 1},
						    {"tls__ssl.v3.pcap", 1},
						    {"dce-rpc__mapi.pcap", 1}};

TEST_F(LossCorpus, OfAllOtherCapturesThreeHaveLoss)
{
	std::size_t files = 0;
	for (const auto &file : fs::directory_iterator(folder())) {
		const std::string name = file.path().filename();
		const auto lost = kLost.find(name);
		const Found found = measure(name);
		EXPECT_EQ(found.lost, lost == kLost.end() ? 0 : lost->second) << name;
		files += found.segments != 0;
	}
	EXPECT_GT(files, 150U);
}

} // namespace
} // namespace anycast::test
