// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The MSS that servers offer, as the tc program lowers it: the bytes before and after.
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>

#include "kernel/egress.h"
#include "support/program_fixture.h"

namespace anycast::test {

namespace {

const char *const kClient = "203.0.113.10", *const kClient6 = "2001:db8:203::10";

class Clamp : public BackendTest {
protected:
	void SetUp() override
	{
		BackendTest::SetUp();
		clamp(1500);
	}
	static Config config(std::uint16_t mtu)
	{
		Config config = two_families();
		config.roles = AX_ROLE_BACKEND;
		config.edges = {*Address::parse("10.1.0.2")};
		for (Pool &pool : config.pools)
			pool.clamp_mss = mtu;
		return config;
	}
	void clamp(std::uint16_t mtu) { apply(config(mtu)); }

	static Packet four(const Bytes &options, std::uint8_t flags = kSyn | kAck,
			   const char *vip = "198.51.100.80", std::uint16_t port = 80)
	{
		return Eth{} / Ip4{.src = vip, .dst = kClient} /
		       Tcp{.sport = port, .dport = 40000, .flags = flags, .options = options};
	}
	static Packet six(const Bytes &options, std::uint16_t port = 80)
	{
		return Eth{} / Ip6{.src = "2001:db8::80", .dst = kClient6} /
		       Tcp{.sport = port, .flags = kSyn | kAck, .options = options};
	}
	// As Linux writes them.
	static Bytes offer(std::uint16_t value)
	{
		return join(
			{mss(value), sack_permitted(), timestamps(1, 2), nop(), window_scale(7)});
	}
	// Checksum and all.
	void expect_leaves(const Packet &as, const Packet &packet,
			   const std::source_location &where = std::source_location::current())
	{
		const testing::ScopedTrace trace(where.file_name(), static_cast<int>(where.line()),
						 "sent here");
		Bytes out(packet.size() + 64);
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet.data(),
			    .data_out = out.data(),
			    .data_size_in = static_cast<std::uint32_t>(packet.size()),
			    .data_size_out = static_cast<std::uint32_t>(out.size()), .repeat = 1);
		ASSERT_EQ(bpf_prog_test_run_opts(egress_.program(), &run), 0);
		EXPECT_EQ(static_cast<int>(run.retval), TC_ACT_UNSPEC);
		out.resize(run.data_size_out);
		EXPECT_EQ(Packet(Raw{out}), as);
	}
	void expect_untouched(const Packet &packet,
			      const std::source_location &where = std::source_location::current())
	{
		expect_leaves(packet, packet, where);
	}

	egress::Loaded egress_ = std::move(*egress::Loaded::load(dataplane(), ""));
};

TEST_F(Clamp, FitsBehindTheOuterHeader)
{
	expect_leaves(four(offer(1500 - 20 - 40)), four(offer(1460)));
	expect_leaves(six(offer(1500 - 40 - 60)), six(offer(1440)));
	EXPECT_EQ(counted(AX_R_MSS_CLAMPED), 2U);
}

TEST_F(Clamp, ReservesWhatThePoolReserves)
{
	Config gue = config(1500);
	for (Vip &vip : gue.vips)
		vip.forward = AX_FORWARD_GUE;
	gue.pools[0].backends.push_back(backend_at("2001:db8:1::14")); // of the other family
	gue.pools[1].backends = {backend_at("10.1.0.21")};
	apply(gue);
	expect_leaves(four(offer(1500 - 64 - 40)), four(offer(1460)));
	expect_leaves(six(offer(1500 - 44 - 60)), six(offer(1440)));
	gue.gue_variant = 1;
	apply(gue);
	expect_leaves(four(offer(1500 - 48 - 40)), four(offer(1460)));
	for (Vip &vip : gue.vips)
		vip.forward = AX_FORWARD_L2DSR;
	gue.pools[0].clamp_mss = 1400; // a smaller link, and no tunnel
	apply(gue);
	expect_leaves(four(offer(1400 - 40)), four(offer(1460)));
}

TEST_F(Clamp, NeverRaises)
{
	for (const std::uint16_t value : {1440, 1439, 536, 0})
		expect_untouched(four(offer(value)));
	EXPECT_EQ(counted(AX_R_MSS_CLAMPED), 0U);
}

TEST_F(Clamp, TheOptionMayStandAnywhere)
{
	const auto with = [](std::uint16_t value, const Bytes &before) {
		return four(join({before, mss(value), sack_permitted()}));
	};
	// An odd place, too: there the sum has its bytes the other way round.
	for (const Bytes &before :
	     {nop(), join({nop(), nop()}), window_scale(7), join({sack_permitted(), nop()}),
	      join({timestamps(1, 2), nop(), nop(), nop()}), Bytes(30, 1), Bytes(31, 1)})
		expect_leaves(with(1440, before), with(9000, before));
	expect_leaves(four(join({Bytes(36, 1), mss(1440)})),
		      four(join({Bytes(36, 1), mss(65535)})));
}

TEST_F(Clamp, NothingIsAddedOrGuessed)
{
	expect_untouched(four({})); // RFC 9293 section 3.7.1: 536
	expect_untouched(four(join({nop(), window_scale(7)})));
	expect_untouched(four(join({{0}, mss(1460)})));		 // behind the end of options
	expect_untouched(four(join({{2, 3, 9, 9}, mss(1460)}))); // not its length
	expect_untouched(four(join({{8, 0}, mss(1460)})));	 // lengths that lead nowhere
	expect_untouched(four(join({{8, 1}, mss(1460)})));
	expect_untouched(four(join({{8, 40}, mss(1460)})));
	expect_untouched(four(Bytes{1, 2, 4, 5})); // cut by the end of the header
}

TEST_F(Clamp, OnlyWhatOpensAConnection)
{
	expect_leaves(four(offer(1440), kSyn), four(offer(1460), kSyn)); // the server's own
	expect_untouched(four(offer(1460), kAck));
	expect_untouched(four(offer(1460), kRst | kSyn));
}

TEST_F(Clamp, OnlyServices)
{
	expect_untouched(four(offer(1460), kSyn | kAck, "198.51.100.81"));
	expect_untouched(four(offer(1460), kSyn | kAck, "198.51.100.80", 22));
	expect_untouched(six(offer(1460), 22));
	// One of another pool, which does not want it.
	Config half = config(1500);
	half.pools[1].clamp_mss = 0;
	apply(half);
	expect_untouched(six(offer(1440)));
	expect_leaves(four(offer(1440)), four(offer(1460)));
	clamp(0);
	expect_untouched(four(offer(1460)));
}

TEST_F(Clamp, ServicesOfPrefixesAndOfAnyPort)
{
	Config wide = config(1500);
	Vip prefix = vip_at("net", "198.51.100.0", 0, kTcp, "web");
	prefix.prefix = 24;
	Vip prefix6 = vip_at("net6", "2001:db8::", 443, kTcp, "web6", AX_FORWARD_GUE);
	prefix6.prefix = 64;
	wide.vips = {prefix, prefix6, vip_at("own", "198.51.100.80", 80, kTcp, "own"),
		     vip_at("any", "2001:db8:1:1::1", 0, 0, "web6")};
	wide.pools.push_back(wide.pools[0]);
	wide.pools.back().name = "own";
	wide.pools.back().clamp_mss = 1000; // an address of its own comes first
	apply(wide);
	expect_leaves(four(offer(1440), kSyn | kAck, "198.51.100.7", 5000),
		      four(offer(1460), kSyn | kAck, "198.51.100.7", 5000));
	expect_leaves(four(offer(940)), four(offer(1460)));
	expect_leaves(four(offer(1440), kSyn | kAck, "198.51.100.80", 81),
		      four(offer(1460), kSyn | kAck, "198.51.100.80", 81));
	expect_leaves(six(offer(1376), 443), six(offer(1440), 443));
	expect_untouched(six(offer(1440), 444));
	expect_untouched(four(offer(1460), kSyn | kAck, "198.51.101.7", 5000));
	const auto any = [](std::uint16_t value) -> Packet {
		return Eth{} / Ip6{.src = "2001:db8:1:1::1", .dst = kClient6} /
		       Tcp{.sport = 7, .flags = kSyn | kAck, .options = offer(value)};
	};
	expect_leaves(any(1400), any(1440));
}

TEST_F(Clamp, BehindOptionsOfIp)
{
	const auto with = [](std::uint16_t value) -> Packet {
		return Eth{} /
		       Ip4{.src = "198.51.100.80", .dst = kClient, .options = {148, 4, 0, 0}} /
		       Tcp{.sport = 80, .flags = kSyn | kAck, .options = offer(value)};
	};
	expect_leaves(with(1440), with(1460));
	const Packet fragment =
		Eth{} / Ip4{.src = "198.51.100.80", .dst = kClient, .offset = 5} / Payload(60);
	expect_untouched(fragment);
}

// Nothing is counted of flows where services of others only are configured: nobody would read it.
TEST_F(Clamp, DoesNotWatch)
{
	expect_leaves(four(offer(1440)), four(offer(1460)));
	int entries = 0;
	EXPECT_TRUE(
		Map::from_fd(egress_.flows())->for_each([&](const std::byte *, const std::byte *) {
			++entries;
		}));
	EXPECT_EQ(entries, 0);
}

} // namespace

} // namespace anycast::test
