// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// systemd's units and the agent's user, as systemd itself reads them.
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>

#include "support/cli.h"
#include "support/in_lab.h"

namespace anycast::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string packaging() // beside the binary: build/anycast-xdp
{
	return fs::path(Cli().binary()).parent_path().parent_path() / "tools/packaging";
}

std::string text_of(const std::string &path)
{
	std::ostringstream text;
	text << std::ifstream(path).rdbuf();
	return text.str();
}

// Copies that name the binary that was built, where verify looks for it.
std::vector<std::string> installed_units()
{
	std::vector<std::string> paths;
	fs::create_directories("/run/lab/units");
	for (const char *name :
	     {"anycast-xdp.service", "anycast-xdp-agent.service", "anycast-xdp-withdraw.service"}) {
		std::string text = text_of(packaging() + "/" + name);
		const std::string from = "/usr/sbin/anycast-xdp", to = Cli().binary();
		for (std::size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
			text.replace(at, from.size(), to);
		std::ofstream(paths.emplace_back(std::string("/run/lab/units/") + name)) << text;
	}
	return paths;
}

TEST(Units, SystemdTakesThemWithoutAWord)
{
	in_lab([] {
		const Netns here("here");
		std::vector<std::string> argv{"systemd-analyze", "--man=no", "verify"};
		for (const std::string &path : installed_units())
			argv.push_back(path);
		setenv("SYSTEMD_UNIT_PATH", "/run/lab/units:", 1);
		const Output output = run(here, argv, {}, milliseconds(60000) * slowness());
		EXPECT_EQ(output.status, 0) << output.err;
		EXPECT_THAT(output.out + output.err, testing::Not(HasSubstr("anycast-xdp")));
		// It does read them.
		std::ofstream("/run/lab/units/anycast-xdp.service", std::ios::app)
			<< "[Service]\nNoSuchKey=1\n";
		EXPECT_THAT(run(here, argv, {}, milliseconds(60000) * slowness()).err,
			    HasSubstr("NoSuchKey"));
	});
}

// The order of a boot: what was announced is forgotten and the program steers before BIRD starts.
TEST(Units, BirdStartsBetweenTheDataPlaneAndTheAgent)
{
	const std::string data = text_of(packaging() + "/anycast-xdp.service");
	EXPECT_THAT(data, HasSubstr("Before=bird.service anycast-xdp-agent.service"));
	const std::size_t forget = data.find("agent --forget"), host = data.find("apply --host"),
			  attach = data.find("anycast-xdp attach");
	ASSERT_NE(forget, std::string::npos);
	EXPECT_LT(forget, host);
	EXPECT_LT(host, attach);
	const std::string agent = text_of(packaging() + "/anycast-xdp-agent.service");
	EXPECT_THAT(agent, HasSubstr("After=network.target bird.service anycast-xdp.service"));
	EXPECT_THAT(agent, HasSubstr("OnFailure=anycast-xdp-withdraw.service"));
}

TEST(Units, SysusersMakeTheUserThatTheUnitNames)
{
	in_lab([] {
		const Netns here("here");
		fs::create_directories("/run/lab/root/etc");
		const Output output = run(here, {"systemd-sysusers", "--root=/run/lab/root",
						 packaging() + "/anycast-xdp.sysusers"});
		EXPECT_EQ(output.status, 0) << output.err;
		EXPECT_THAT(text_of("/run/lab/root/etc/passwd"), HasSubstr("anycast-xdp:"));
		EXPECT_THAT(text_of("/run/lab/root/etc/group"), HasSubstr("anycast-xdp:"));
	});
}

} // namespace
} // namespace anycast::test
