// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Pins that somebody removed, records that are damaged, devices that are gone: what is said is
// true, and what it advises works.
#include <unistd.h>

#include <fstream>

#include <gmock/gmock.h>

#include "config/config.h"
#include "net/attaching.h"
#include "support/cli.h"
#include "support/netns.h"

namespace anycast::test {

using testing::AllOf;
using testing::HasSubstr;

namespace {

std::string pins_of(const std::string &device)
{
	return pin_directory(kPaths, device);
}

Error not_opened(const std::string &device = "dev0")
{
	auto instance = open_instance(kPaths, device);
	if (instance)
		throw LabError("the instance should not be usable");
	return instance.error();
}

} // namespace

TEST(Damage, AMapWithoutItsPinIsMadeAnewByAttachingAgain)
{
	in_lab([] {
		make_veth();
		const auto first = attached("dev0");
		ASSERT_EQ(::unlink((pins_of("dev0") + "/ax_vip_ctr").c_str()), 0);
		EXPECT_THAT(not_opened().message(),
			    AllOf(HasSubstr("ax_vip_ctr is missing"), HasSubstr("attach")));
		const auto second = attached("dev0");
		EXPECT_TRUE(second.replaced);
		EXPECT_NE(second.attached.program_id, first.attached.program_id);
		EXPECT_TRUE(hook_of("dev0").ours);
	});
}

TEST(Damage, AProgramWithoutItsPinIsOursByItsLink)
{
	in_lab([] {
		make_veth();
		const auto first = attached("dev0");
		if (!first.attached.by_link)
			GTEST_SKIP() << "this kernel has no XDP links";
		ASSERT_EQ(::unlink((pins_of("dev0") + "/prog").c_str()), 0);
		EXPECT_TRUE(hook_of("dev0").ours);
		EXPECT_EQ(opened().applied.generation, 1U);
		EXPECT_TRUE(attached("dev0").replaced);
		EXPECT_EQ(::access((pins_of("dev0") + "/prog").c_str(), F_OK), 0);
	});
}

// A new control record would be empty: attaching again must not get half-way.
TEST(Damage, WithoutItsControlRecordItCanOnlyBeDetached)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const std::string control = pins_of("dev0") + "/ax_ctl";
		const auto before = hook_of("dev0").program_id;
		ASSERT_EQ(::unlink(control.c_str()), 0);
		EXPECT_THAT(not_opened().message(), HasSubstr("detach"));
		for (int i = 0; i < 2; i++)
			EXPECT_THAT(refused().message(),
				    AllOf(HasSubstr("ax_ctl"), HasSubstr("is gone"),
					  HasSubstr("anycast-xdp detach dev0")));
		EXPECT_NE(::access(control.c_str(), F_OK), 0);
		EXPECT_EQ(hook_of("dev0").program_id, before);
		ASSERT_TRUE(detach(kPaths, "dev0"));
		EXPECT_FALSE(attached("dev0").replaced);
	});
}

TEST(Damage, ADamagedRecordIsNamedAndReplaced)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const std::string record = state_directory(kPaths, "dev0") + "/generation-1.json";
		std::ofstream(record) << "{\"config\": ";
		EXPECT_THAT(not_opened().message(),
			    AllOf(HasSubstr(record + " is damaged: no JSON from byte"),
				  HasSubstr("attach the interface again")));
		EXPECT_TRUE(attached("dev0").replaced);
		EXPECT_EQ(opened().applied.config, kSmall);
	});
}

TEST(Damage, OfADeviceThatIsGoneDetachRemovesWhatIsLeft)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		sh("ip link del dev0");
		EXPECT_THAT(not_opened().message(), HasSubstr("anycast-xdp detach dev0"));
		const auto report = detach(kPaths, "dev0");
		ASSERT_TRUE(report) << report.error().message();
		EXPECT_TRUE(report->gone);
		EXPECT_FALSE(report->detached);
		EXPECT_TRUE(entries_of(pins_of("dev0")).empty());
	});
}

// Who may not look is not told that nothing is there.
TEST(Damage, WithoutPermissionNothingIsSaidToBeAbsent)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		sh("chmod 0700 " + kPaths.pins); // as systemd mounts the file system above
		ASSERT_EQ(::seteuid(65534), 0);
		const auto names = attached_interfaces(kPaths);
		const auto instance = open_instance(kPaths, "dev0");
		const auto taken_off = detach(kPaths, "dev0");
		ASSERT_EQ(::seteuid(0), 0);
		ASSERT_FALSE(names);
		EXPECT_THAT(names.error().message(),
			    AllOf(HasSubstr("Permission denied"), HasSubstr("root is needed")));
		ASSERT_FALSE(instance);
		EXPECT_EQ(instance.error().kind, Exit::kFailed) << instance.error().message();
		ASSERT_FALSE(taken_off);
		EXPECT_EQ(taken_off.error().kind, Exit::kFailed) << taken_off.error().message();
		EXPECT_TRUE(hook_of("dev0").ours);
	});
}

TEST(Damage, OfAFullDiskItSaysWhatHelps)
{
	in_lab([] {
		make_veth();
		attached("dev0");
		const std::string state = state_directory(kPaths, "dev0");
		sh("mkdir -p /run/small && mount -t tmpfs -o size=64k none /run/small && cp -r " +
		   state + "/. /run/small/ && mount --bind /run/small " + state +
		   " && ! dd if=/dev/zero of=/run/small/fill bs=1k count=100 2>/dev/null");
		const auto applied = apply(kPaths, "dev0", config_of(2, 3));
		ASSERT_FALSE(applied);
		EXPECT_THAT(applied.error().message(),
			    AllOf(HasSubstr("No space left"), HasSubstr("make room")));
		EXPECT_EQ(opened().applied.config, kSmall);
		sh("rm /run/small/fill");
		EXPECT_TRUE(apply(kPaths, "dev0", config_of(2, 3)));
		sh("umount " + state + " && umount /run/small");
	});
}

// One interface that cannot be looked at does not hide another.
TEST(Damage, StatusShowsTheOthers)
{
	in_lab([] {
		const Netns node{"node"};
		node.ip("link set lo up\nlink add dev0 type veth peer name dev1\n"
			"link add dev2 type veth peer name dev3\n"
			"link set dev0 up\nlink set dev1 up\nlink set dev2 up\nlink set dev3 up\n"
			"addr add 10.1.0.1/24 dev dev0\naddr add 10.2.0.1/24 dev dev2");
		const std::string file = "/run/lab/node.toml";
		std::ofstream(file) << to_toml(kSmall);
		const Cli cli;
		cli.expect(node, {"attach", "dev0", "dev2", "--config", file});
		const std::string pins = node.run([] { return pins_of("dev0"); });
		ASSERT_EQ(::unlink((pins + "/ax_pool").c_str()), 0);
		const Output text = cli.run(node, {"status"});
		EXPECT_EQ(text.status, 1);
		EXPECT_THAT(text.out, HasSubstr("dev2: ok: "));
		EXPECT_THAT(text.err, HasSubstr("dev0: map ax_pool is missing"));
		const Output json = cli.run(node, {"--json", "status"});
		const auto document = nlohmann::json::parse(json.out);
		ASSERT_EQ(document.at("interfaces").size(), 1U);
		EXPECT_EQ(document.at("interfaces").at(0).at("interface"), "dev2");
		EXPECT_TRUE(document.at("agent").is_null());
	});
}

} // namespace anycast::test
