// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The program that sees what leaves: attached, replaced and taken off together with the XDP
// program, by a tcx link or, where the kernel has none, by clsact.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "support/in_lab.h"
#include "support/loss_lab.h"

namespace anycast::test {

namespace {

std::string egress_of(const LossLab &lab)
{
	const auto status = lab.cli.ask(lab.node.netns, {"status"});
	const auto &egress = status.at("interfaces").at(0).at("egress");
	return egress.is_string() ? egress.get<std::string>() : "";
}

bool kernel_has_tcx(const LossLab &lab)
{
	const auto features = lab.cli.ask(lab.node.netns, {"features"});
	for (const auto &feature : features.at("features"))
		if (feature.at("feature") == "tcx")
			return feature.at("available").get<bool>();
	return false;
}

std::string filters(const LossLab &lab)
{
	return run(lab.node.netns, {"tc", "filter", "show", "dev", "eth0", "egress"}).out;
}

bool has_clsact(const LossLab &lab)
{
	return run(lab.node.netns, {"tc", "qdisc", "show", "dev", "eth0"}).out.find("clsact") !=
	       std::string::npos;
}

void upload_once(LossLab &lab)
{
	const Upload sent = upload(lab.client, lab.sink(), 1 << 20);
	EXPECT_TRUE(sent.ok) << sent.error;
}

void goes_with_xdp(const std::string &how)
{
	LossLab lab({});
	EXPECT_EQ(egress_of(lab), how.empty() ? kernel_has_tcx(lab) ? "tcx" : "clsact" : how);
	upload_once(lab);
	const LossOutcome before = lab.read();
	EXPECT_EQ(before.of("c2s_down_lost").known, 1U);
	EXPECT_EQ(before.of("s2c_lost").known, 1U);
	EXPECT_GE(before.of("s2c_lost").of, 2U); // SYN-ACK, answer

	const std::string config = std::string(kLabDir) + "/node.toml";
	const auto attached = lab.cli.ask(lab.node.netns, {"attach", "eth0", "--config", config})
				      .at("interfaces");
	const auto status = lab.cli.ask(lab.node.netns, {"status"}).at("interfaces");
	EXPECT_EQ(attached.at(0).at("memory").at("total"), status.at(0).at("memory").at("total"))
		<< "its map is counted in both";
	EXPECT_NE(egress_of(lab), "");
	EXPECT_EQ(lab.read().of("s2c_lost").of, before.of("s2c_lost").of); // what it knew, it knows
	upload_once(lab);
	EXPECT_EQ(lab.read().of("s2c_lost").known, 2U);

	lab.cli.expect(lab.node.netns, {"detach", "eth0"});
	EXPECT_EQ(filters(lab), "");
	upload_once(lab); // and everything goes on
}

} // namespace

TEST(Egress, GoesWithXdp)
{
	in_lab([] { goes_with_xdp(""); });
}

TEST(Egress, FallsBackToClsact)
{
	in_lab([] {
		setenv("AX_WITHOUT", "tcx", 1);
		goes_with_xdp("clsact");
	});
}

// What others use, or had made before, is not ours to take away.
TEST(Egress, LeavesTheQdiscOfOthers)
{
	in_lab([] {
		setenv("AX_WITHOUT", "tcx", 1);
		LossLab lab({});
		const auto attach = [&] {
			lab.cli.expect(lab.node.netns, {"attach", "eth0", "--config",
							std::string(kLabDir) + "/node.toml"});
			EXPECT_EQ(egress_of(lab), "clsact");
			EXPECT_TRUE(has_clsact(lab));
		};
		const auto detach = [&] {
			lab.cli.expect(lab.node.netns, {"detach", "eth0"});
			EXPECT_EQ(filters(lab), "");
		};
		detach();
		EXPECT_TRUE(has_clsact(lab)) << "the lab's dropper had made it";

		const Argv remove{"tc", "qdisc", "del", "dev", "eth0", "clsact"};
		ASSERT_EQ(run(lab.node.netns, remove).status, 0);
		attach();
		detach();
		EXPECT_FALSE(has_clsact(lab)) << "it was ours";

		attach();
		lab.programs.attach_dropper_ingress(lab.node.nic());
		detach();
		EXPECT_TRUE(has_clsact(lab)) << "it has another filter by now";
	});
}

// Where no service of this node's own answers, there is nothing to see.
TEST(Egress, FollowsTheConfiguration)
{
	in_lab([] {
		LossLab lab({});
		const std::string path = std::string(kLabDir) + "/node.toml";
		std::stringstream text;
		text << std::ifstream(path).rdbuf();
		const std::string own = text.str();
		std::string others = own;
		for (const char *address : {"\"203.0.113.1\"", "\"2001:db8:203::1\""})
			others.replace(others.find(address) + std::strlen(address) - 2, 1, "77");
		ASSERT_NE(egress_of(lab), "");
		const auto apply = [&](const std::string &config) {
			std::ofstream(path) << config;
			lab.cli.expect(lab.node.netns, {"apply", path});
		};
		apply(others);
		EXPECT_EQ(egress_of(lab), "");
		EXPECT_EQ(filters(lab), "");
		apply(own);
		EXPECT_NE(egress_of(lab), "");
		upload_once(lab);
		EXPECT_EQ(lab.read().of("c2s_down_lost").known, 1U);
	});
}

// As a build leaves it that knows no tc program, and takes its pins away.
TEST(Egress, AFilterThatAnotherBuildLeftIsTakenOver)
{
	in_lab([] {
		setenv("AX_WITHOUT", "tcx", 1);
		LossLab lab({});
		ASSERT_EQ(egress_of(lab), "clsact");
		ASSERT_EQ(std::system("find /sys/fs/bpf -name 'egress*' -exec rm {} +"), 0);
		EXPECT_EQ(egress_of(lab), "");
		lab.cli.expect(lab.node.netns,
			       {"attach", "eth0", "--config", std::string(kLabDir) + "/node.toml"});
		EXPECT_EQ(egress_of(lab), "clsact");
		lab.cli.expect(lab.node.netns, {"detach", "eth0"});
		EXPECT_EQ(filters(lab), "");
	});
}

TEST(Egress, ATcxLinkTakesOverFromClsact)
{
	in_lab([] {
		setenv("AX_WITHOUT", "tcx", 1);
		LossLab lab({});
		ASSERT_EQ(egress_of(lab), "clsact");
		unsetenv("AX_WITHOUT");
		if (!kernel_has_tcx(lab))
			GTEST_SKIP() << "this kernel has no tcx";
		lab.cli.expect(lab.node.netns,
			       {"attach", "eth0", "--config", std::string(kLabDir) + "/node.toml"});
		EXPECT_EQ(egress_of(lab), "tcx");
		EXPECT_EQ(filters(lab), "");
	});
}

} // namespace anycast::test
