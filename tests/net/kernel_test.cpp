// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// With the kernel's own devices: its tunnels take apart what we send, VIPs on a dummy, 802.1Q,
// netem. A kernel without one of these skips that test; the guests of tests/vm have all of them.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include <gmock/gmock.h>
#include <sys/utsname.h>

#include "kernel/features.h"
#include "net/attaching.h"
#include "support/cli.h"
#include "support/in_lab.h"
#include "support/packet.h"
#include "support/raw_sender.h"
#include "support/traffic.h"

namespace anycast::test {

namespace {

using testing::HasSubstr;

// Does `ip link add` or `tc qdisc add` know this?
bool kernel_knows(const std::string &command)
{
	return run_isolated([&] {
		       const Netns probe("probe");
		       return run(probe, {"sh", "-c", command}).status == 0 ? 0 : 1;
	       }) == 0;
}

#define REQUIRE_OF_KERNEL(command)                                                                 \
	do {                                                                                       \
		if (!kernel_knows(command))                                                        \
			GTEST_SKIP() << "this kernel refuses `" << (command) << "`";               \
	} while (false)

bool feature_here(const nlohmann::json &document, const nlohmann::json &wanted)
{
	for (const auto &feature : document.at("features"))
		if (feature.at("feature") == wanted.at("feature"))
			return feature.at("available");
	return false;
}

std::string tunnel(const std::string &kind, const std::string &from, const std::string &to)
{
	return "link add k0 type " + kind + " remote " + from + " local " + to;
}

// Backends without our program: what edge1 sends arrives in the kernel's tunnel device.
void serves_through_tunnels(const std::string &kind, const EdgeSetup &setup, bool outer6,
			    const Endpoint &www, const Endpoint &sink, const std::string &by = "")
{
	Lab lab(1 << 20);
	const Cli cli;
	const Node &edge = *lab.edges[0];

	lab.start_servers();
	for (const auto &backend : lab.backends) {
		backend->netns.ip(tunnel(kind, outer6 ? edge.address6 : edge.address,
					 outer6 ? backend->address6 : backend->address) +
				  by + "\nlink set k0 up");
		if (!by.empty()) {
			EXPECT_EQ(run(backend->netns, {"ip", outer6 ? "-6" : "-4", "fou", "add",
						       "port", "6080", "gue"})
					  .status,
				  0);
		}
		for (const char *name : {"all", "k0"})
			backend->netns.sysctl(fmt::format("net.ipv4.conf.{}.rp_filter", name), "0");
	}
	cli.attach_edge(lab, edge, setup);
	lab.route_to(edge);

	std::set<std::string> servers; // by ports of the kernel's choosing, so the 24 may miss one
	for (int i = 0; i < 24 || (servers.size() < 3 && i < 200); i++) {
		const Reply reply = http_get(lab.client, www, "/");
		EXPECT_TRUE(reply.ok) << reply.error;
		servers.insert(reply.body);
	}
	EXPECT_EQ(servers.size(), 3U);
	const Upload sent = upload(lab.client, sink, 256 << 10);
	EXPECT_TRUE(sent.ok) << sent.error;
	EXPECT_GT(cli.stats(edge.netns).of("steered"), 24U * 3);
}

} // namespace

TEST(KernelTunnels, TakeIp4OutOfIp4)
{
	REQUIRE_OF_KERNEL("ip link add k0 type ipip remote 10.0.0.1 local 10.0.0.2");
	in_lab([] { serves_through_tunnels("ipip", {}, false, kWww, kSink); });
}

TEST(KernelTunnels, TakeIp6OutOfIp4)
{
	REQUIRE_OF_KERNEL("ip link add k0 type sit remote 10.0.0.1 local 10.0.0.2");
	in_lab([] {
		serves_through_tunnels("sit", {.six = true, .other_family = true}, false, kWww6,
				       kSink6);
	});
}

TEST(KernelTunnels, TakeIp4OutOfIp6)
{
	REQUIRE_OF_KERNEL("ip link add k0 type ip6tnl mode any remote fd00::1 local fd00::2");
	in_lab([] {
		serves_through_tunnels("ip6tnl mode any", {.other_family = true}, true, kWww,
				       kSink);
	});
}

TEST(KernelTunnels, TakeIp6OutOfIp6)
{
	REQUIRE_OF_KERNEL("ip link add k0 type ip6tnl mode any remote fd00::1 local fd00::2");
	in_lab([] {
		serves_through_tunnels("ip6tnl mode any", {.six = true}, true, kWww6, kSink6);
	});
}

// A kernel's GUE: its port is a listener of its own (fou), which hands what is inside to a tunnel
// device of the packet's kind; that one's own encapsulation says what answers would get, if any
// went that way.
constexpr const char *kByGue = " encap gue encap-sport auto encap-dport 6080";

EdgeSetup by_gue(bool six, bool other_family, int variant)
{
	return {.forward = "gue",
		.six = six,
		.other_family = other_family,
		.tunnel = fmt::format("second_chance = false\ngue_variant = {}\n", variant)};
}

TEST(KernelTunnels, TakeGueOverIp4)
{
	REQUIRE_OF_KERNEL("ip fou add port 6080 gue && ip link add k0 type ipip remote 10.0.0.1 "
			  "local 10.0.0.2 encap gue encap-sport auto encap-dport 6080");
	for (const int variant : {0, 1})
		in_lab([=] {
			serves_through_tunnels("ipip", by_gue(false, false, variant), false, kWww,
					       kSink, kByGue);
		});
}

TEST(KernelTunnels, TakeIp6InGueOverIp4)
{
	REQUIRE_OF_KERNEL("ip fou add port 6080 gue && ip link add k0 type sit remote 10.0.0.1 "
			  "local 10.0.0.2 encap gue encap-sport auto encap-dport 6080");
	in_lab([] {
		serves_through_tunnels("sit", by_gue(true, true, 1), false, kWww6, kSink6, kByGue);
	});
}

TEST(KernelTunnels, TakeGueOverIp6)
{
	REQUIRE_OF_KERNEL("ip -6 fou add port 6080 gue && ip link add k0 type ip6tnl mode any "
			  "remote fd00::1 local fd00::2 encap gue encap-sport auto encap-dport "
			  "6080");
	in_lab([] {
		serves_through_tunnels("ip6tnl mode any", by_gue(true, false, 0), true, kWww6,
				       kSink6, kByGue);
	});
	in_lab([] {
		serves_through_tunnels("ip6tnl mode any", by_gue(false, true, 1), true, kWww, kSink,
				       kByGue);
	});
}

TEST(KernelDevices, VipsAreOnADummy)
{
	REQUIRE_OF_KERNEL("ip link add d0 type dummy");
	in_lab([] {
		Lab lab(1 << 20);
		const Cli cli;
		lab.start_servers();
		cli.attach_all(lab);
		lab.route_to(*lab.edges[0]);
		for (const auto &backend : lab.backends)
			EXPECT_THAT(
				run(backend->netns, {"ip", "-d", "link", "show", "anycast0"}).out,
				HasSubstr("dummy"));
		for (int i = 0; i < 6; i++)
			EXPECT_TRUE(http_get(lab.client, kWww, "/").ok);
	});
}

TEST(KernelDevices, TaggedFramesReachTheVlanDevice)
{
	REQUIRE_OF_KERNEL(
		"ip link add d0 type veth && ip link add link d0 name d0.7 type vlan id 7");
	in_lab([] {
		const Netns near("near"), far("far");
		connect_veth({near, "dev0"}, {far, "dev1"}, 1500);
		for (const auto &[netns, device, address] :
		     {std::tuple(&near, "dev0", "10.7.0.1"), {&far, "dev1", "10.7.0.2"}})
			netns->ip(fmt::format("link add link {0} name v7 type vlan id 7\n"
					      "addr add {1}/24 dev v7\nlink set v7 up",
					      device, address));
		near.run([&] {
			EXPECT_EQ(attached("dev0").attached.mode, XdpMode::kNative);
			EXPECT_EQ(run(far, {"ping", "-c", "3", "-i", "0.2", "10.7.0.1"}).status, 0);
			ASSERT_TRUE(detach(kPaths, "dev0"));

			// The device itself has no native XDP.
			const AttachReport report = attached("v7");
			EXPECT_EQ(report.attached.mode, XdpMode::kGeneric);
			EXPECT_THAT(report.warnings, testing::Contains(HasSubstr("generic")));
			EXPECT_EQ(run(far, {"ping", "-c", "3", "-i", "0.2", "10.7.0.1"}).status, 0);
			const auto counts = opened("v7").dataplane.reasons();
			std::uint64_t packets = 0;
			for (const ReasonCount &count : *counts)
				packets += count.packets;
			EXPECT_GE(packets, 3U);
		});
	});
}

TEST(KernelDevices, LossIsWhatNetemDrops)
{
	REQUIRE_OF_KERNEL("ip link set lo up && tc qdisc add dev lo root netem loss 1%");
	in_lab([] {
		Lab lab(1 << 20);
		const Cli cli;
		lab.start_servers();
		cli.attach_all(lab);
		lab.route_to(*lab.edges[0]);
		// netem would drop what TCP hands down in one piece as one packet.
		lab.client.ip("link set dev eth0 gso_max_segs 1");
		ASSERT_EQ(run(lab.client, {"tc", "qdisc", "add", "dev", "eth0", "root", "netem",
					   "limit", "10000", "delay", "5ms", "loss", "2%"})
				  .status,
			  0);
		const Upload sent =
			upload(lab.client, kSink, 4 << 20,
			       {.limit = milliseconds(60000), .send_buffer = 128 << 10});
		EXPECT_TRUE(sent.ok) << sent.error;
		const auto shown = nlohmann::json::parse(
			run(lab.client, {"tc", "-s", "-j", "qdisc", "show", "dev", "eth0"}).out);
		const double dropped = shown.at(0).at("drops");
		const LossTotals reported = cli.loss(lab.edges[0]->netns, "sink");
		EXPECT_GT(dropped, 20);
		// netem's drops hold repeated segments and bare acknowledgements too.
		EXPECT_NEAR(static_cast<double>(reported.lost), dropped, 0.15 * dropped + 3);
	});
}

// Every probe forced to "no" by the environment, as a user can; exit code 4 for what is required.
TEST(KernelFeatures, ArePrintedAndCanBeSwitchedOff)
{
	in_lab([] {
		const Netns here("here");
		const Cli cli;
		const auto document = cli.ask(here, {"features"});
		const std::string table = cli.expect(here, {"features"}).out;
		EXPECT_THAT(table, HasSubstr(document.at("kernel").get<std::string>()));
		EXPECT_GT(document.at("features").size(), 15U);
		for (const auto &feature : document.at("features")) {
			const std::string name = feature.at("feature");
			const bool required = feature.at("required");
			EXPECT_THAT(table, HasSubstr(name));
			EXPECT_EQ(!required && feature.at("used"),
				  !feature.at("fallback").get<std::string>().empty())
				<< name;
			setenv("AX_WITHOUT", name.c_str(), 1);
			const Output without = cli.run(here, {"--json", "features"});
			unsetenv("AX_WITHOUT");
			EXPECT_EQ(without.status, required ? 4 : 0) << name << without.err;
			EXPECT_EQ(without.err.find(name) != std::string::npos, required);
			for (const auto &other : nlohmann::json::parse(without.out).at("features"))
				EXPECT_EQ(other.at("available"),
					  other.at("feature") != name &&
						  feature_here(document, other))
					<< name << ", " << other;
		}
	});
}

// Each other feature that is used has its own test: attach_test, dataplane_test, drops_test,
// dispatcher_test, interfaces_test, and tests/vm/legacy.
TEST(KernelFeatures, ReplayAndExplainRefuseWithoutTestRuns)
{
	in_lab([] {
		const Netns here("here");
		const Cli cli;
		const std::string config = "/run/lab/here.toml";
		std::ofstream(config) << "[node]\nname = \"here\"\nroles = [\"edge\"]\n";
		const Argv explain{"explain", "--config", config, "--packet",
				   (Eth{} / Ip4{} / Udp{}).hex()};
		EXPECT_EQ(cli.run(here, explain).status, 0) << cli.run(here, explain).err;
		setenv("AX_WITHOUT", "test_run", 1);
		const Output without = cli.run(here, explain);
		unsetenv("AX_WITHOUT");
		EXPECT_EQ(without.status, 4);
		EXPECT_THAT(without.err,
			    testing::AllOf(HasSubstr("test_run"), HasSubstr("features")));
	});
}

// No packets of its could say when they were sent, so saying so is refused; a failed apply leaves
// what runs.
TEST(KernelFeatures, TheBuildForOldKernelsRefusesAlternateMarking)
{
	in_lab([] {
		make_veth();
		force_absent("jiffies64");
		force_absent("global_functions");
		Config marking = kSmall;
		marking.marking = true;
		const auto is_refusal = [](const Error &error) {
			EXPECT_EQ(error.kind, Exit::kUnsupported);
			EXPECT_THAT(error.what, HasSubstr("[tunnel] marking"));
			EXPECT_THAT(error.hint, HasSubstr("marking = false"));
		};
		is_refusal(refused(marking));
		EXPECT_EQ(hook_of("dev0").program_id, 0U);
		EXPECT_TRUE(traces().empty()) << testing::PrintToString(traces());

		attached("dev0");
		EXPECT_EQ(opened().dataplane.optional_map("ax_mark"), nullptr);
		const std::uint32_t before = opened().dataplane.control()->generation;
		const auto applied = apply(kPaths, "dev0", marking);
		ASSERT_FALSE(applied);
		is_refusal(applied.error());
		EXPECT_EQ(opened().dataplane.control()->generation, before);
		EXPECT_FALSE(opened().applied.config.marking);
		EXPECT_TRUE(apply(kPaths, "dev0", kSmall)) << "without it all is well";
	});
}

// Debian's kernels have what their version says, so here a probe that errs is seen.
TEST(KernelFeatures, AreThoseOfTheVersion)
{
	if (!std::getenv("AX_VM")) // NOLINT(concurrency-mt-unsafe)
		GTEST_SKIP() << "only of the kernels in tests/vm it is known what they have";
	utsname name{};
	int major = 0, minor = 0;
	ASSERT_EQ(::uname(&name), 0);
	ASSERT_EQ(std::sscanf(name.release, "%d.%d", &major, &minor), 2);
	const int version = major * 1000 + minor;
	const std::map<std::string_view, int> since{
		{"xdp", 4008},
		{"mmap_array", 5005},
		{"batch_ops", 5006},
		{"jiffies64", 5005},
		{"global_functions", 5006},
		{"ring_buffer", 5008},
		{"xdp_link", 5009},
		{"managed_neighbour", 5016},
		{"dispatcher", 6001},
		{"bpf_loop", 5017},
		{"xdp_load_bytes", 5018},
		{"xdp_frags", 5018},
		{"live_frames", 5018},
		{"tcx", 6006},
	};
	for (const Feature &feature : features()) {
		const auto known = since.find(feature.name);
		if (known == since.end())
			continue;
		EXPECT_EQ(feature.available, version >= known->second)
			<< feature.name << ": " << feature.detail;
	}
}

} // namespace anycast::test
