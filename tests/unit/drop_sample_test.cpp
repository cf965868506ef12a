// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What `drops` makes of the start of a dropped frame.
#include "core/drop_sample.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "render/drops.h"
#include "render/reasons.h"
#include "support/packet.h"

namespace anycast::test {
namespace {

DropSample decoded(const Packet &packet)
{
	ax_sample raw{};
	raw.time_ns = 5;
	raw.reason = AX_R_TCP_NO_FLAGS;
	raw.ifindex = 3;
	raw.bytes = static_cast<__u32>(packet.size());
	raw.kept = std::min<__u32>(raw.bytes, AX_SAMPLE_BYTES);
	std::memcpy(raw.frame, packet.data(), raw.kept);
	return decode_sample(raw);
}

TEST(DropSample, Ip4)
{
	const DropSample sample = decoded(Eth{} / Ip4{.ttl = 7, .options = Bytes(8, 1)} /
					  Tcp{.sport = 5, .dport = 6} / Payload(400));
	EXPECT_EQ(sample.source->text(), "203.0.113.5");
	EXPECT_EQ(sample.destination->text(), "198.51.100.80");
	EXPECT_EQ(sample.source_port, 5);
	EXPECT_EQ(sample.destination_port, 6);
	EXPECT_EQ(sample.ttl, 7);
	EXPECT_EQ(sample.protocol, 6);
	EXPECT_EQ(sample.source_mac, "02:00:00:00:00:01");
	EXPECT_EQ(sample.bytes, 14U + 28 + 20 + 400);
	EXPECT_EQ(sample.ifindex, 3U);
	EXPECT_EQ(sample.reason, AX_R_TCP_NO_FLAGS);
}

TEST(DropSample, Ip6BehindTagsAndExtensionHeaders)
{
	const DropSample sample = decoded(Eth{} / Vlan{7} / Vlan{8} / Ip6{.hop_limit = 9} /
					  Ip6Ext{.kind = kHopByHop} / Udp{.sport = 1, .dport = 2});
	EXPECT_EQ(sample.source->text(), "2001:db8::5");
	EXPECT_EQ(sample.source_port, 1);
	EXPECT_EQ(sample.protocol, 17);
	EXPECT_EQ(sample.ttl, 9);
	EXPECT_EQ(sample.vlans, (std::vector<std::uint16_t>{7, 8}));
}

TEST(DropSample, LaterFragmentsHaveNoPorts)
{
	EXPECT_FALSE(decoded(Eth{} / Ip4{.offset = 3} / Tcp{}).source_port);
	const DropSample six =
		decoded(Eth{} / Ip6{} / Ip6Frag{.offset = 3, .next_header = 6} / Payload(30));
	EXPECT_FALSE(six.source_port);
	EXPECT_EQ(six.protocol, 6);
	EXPECT_TRUE(decoded(Eth{} / Ip6{} / Ip6Frag{.mf = true} / Udp{}).source_port);
}

TEST(DropSample, WhatIsNoIpIsNamedByItsMac)
{
	EXPECT_EQ(decoded(Eth{} / Arp{}).source_text(), "02:00:00:00:00:01");
	EXPECT_EQ(decoded(Packet(Eth{}).truncate(13)).source_text(), "");
	EXPECT_EQ(decoded((Eth{} / Ip4{}).truncate(33)).source_text(), "02:00:00:00:00:01");
}

TEST(DropSample, EveryLengthOfEveryFrameCanBeRead)
{
	for (const Packet &packet :
	     {Packet(Eth{} / Vlan{1} / Ip4{.ihl = 15} / Tcp{}),
	      Eth{} / Ip6{} / Ip6Ext{.length = 255} / Ip6Frag{} / Udp{},
	      Eth{} / Ip6{} / Ip6Ext{.kind = kAuthentication} / Ip6Ext{} / Tcp{}})
		for (std::size_t length = 0; length <= packet.size(); ++length)
			decoded(packet.truncate(length));
}

TEST(DropSample, IsShownWithWhatItSays)
{
	const DropSample sample = decoded(Eth{} / Vlan{7} / Ip4{.ttl = 7} / Udp{.sport = 5});
	const auto json = render::sample_json(sample);
	EXPECT_EQ(json["source"], "203.0.113.5");
	EXPECT_EQ(json["source_port"], 5);
	EXPECT_EQ(json["protocol"], "udp");
	EXPECT_EQ(json["vlans"], nlohmann::json::array({7}));
	EXPECT_EQ(render::sample_text(sample),
		  "203.0.113.5:5 -> 198.51.100.80:53 udp ttl 7 vlan 7, 46 bytes");
	const auto arp = render::sample_json(decoded(Eth{} / Arp{}));
	EXPECT_TRUE(arp["source"].is_null());
	EXPECT_TRUE(arp["ttl"].is_null());
	EXPECT_EQ(arp["source_mac"], "02:00:00:00:00:01");
	const auto six = decoded(Eth{} / Ip6{} / Udp{.sport = 5});
	EXPECT_THAT(render::sample_text(six), testing::StartsWith("[2001:db8::5]:5 -> [2001:"));
}

TEST(DropSample, FollowedLinesCountAndMeasure)
{
	render::FollowedDrop drop{.sample = decoded(Eth{} / Ip4{} / Udp{}),
				  .interface = "eth0",
				  .time = "2026-11-22T10:00:00.000Z",
				  .packets = 12};
	auto json = render::followed_json(drop);
	EXPECT_EQ(json["reason"], "tcp_no_flags");
	EXPECT_EQ(json["packets"], 12);
	EXPECT_TRUE(json["per_second"].is_null());
	EXPECT_THAT(render::followed_text(drop), testing::EndsWith("(12 so far)\n"));
	drop.per_second = 1234;
	EXPECT_EQ(render::followed_json(drop)["per_second"], 1234);
	EXPECT_THAT(render::followed_text(drop), testing::EndsWith("(12 so far, 1234/s)\n"));
}

TEST(DropsTable, ShowsRateAndLastSource)
{
	render::InterfaceStats stats;
	stats.interface = "eth0";
	render::ReasonRow row;
	row.info = find_reason(AX_R_TCP_NO_FLAGS);
	row.packets = 7;
	row.bytes = 420;
	row.per_second = 3.5;
	row.last = {decoded(Eth{} / Ip4{} / Tcp{.flags = 0}), 2'000'000};
	stats.finals.push_back(row);
	const std::string text = render::drops_text({stats}, false);
	EXPECT_THAT(text, testing::HasSubstr("203.0.113.5"));
	EXPECT_THAT(text, testing::HasSubstr("3.5/s"));
	EXPECT_THAT(text, testing::HasSubstr("2.0 s"));
	const auto json = render::drops_json({stats}, false)["interfaces"][0]["drops"][0];
	EXPECT_EQ(json["per_second"], 3.5);
	EXPECT_EQ(json["last"]["source"], "203.0.113.5");
	EXPECT_EQ(json["last"]["age_ms"], 2000);
	stats.finals[0].per_second.reset();
	stats.finals[0].last.reset();
	const auto unmeasured = render::drops_json({stats}, false)["interfaces"][0]["drops"][0];
	EXPECT_TRUE(unmeasured["per_second"].is_null());
	EXPECT_TRUE(unmeasured["last"].is_null());
}

} // namespace
} // namespace anycast::test
