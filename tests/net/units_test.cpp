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

std::vector<std::string> files_below(const std::string &folder)
{
	std::vector<std::string> files;
	for (const auto &entry : fs::recursive_directory_iterator(folder))
		if (entry.is_regular_file())
			files.push_back(entry.path());
	return files;
}

TEST(Units, InstallPutsThereWhatTheyNameAndUninstallTakesItAway)
{
	in_lab([] {
		const Netns here("here");
		const std::string tree = fs::path(packaging()).parent_path().parent_path();
		const std::string build = fs::path(Cli().binary()).parent_path();
		const auto make = [&](const std::string &target) {
			// -o: as it is, whatever its sources' times say.
			return run(here, {"make", "-C", tree, "BUILD=" + build, "-o",
					  build + "/anycast-xdp", target, "DESTDIR=/run/lab/dest"});
		};
		const Output installed = make("install");
		ASSERT_EQ(installed.status, 0) << installed.out << installed.err;
		std::ofstream("/run/lab/dest/usr/sbin/other") << "not ours";
		std::size_t named = 0;
		for (const std::string &file : files_below("/run/lab/dest/usr/lib/systemd")) {
			std::istringstream lines(text_of(file));
			for (std::string line; std::getline(lines, line);)
				for (const std::string_view key :
				     {"ExecStart=", "ExecStart=-", "Documentation=file://"}) {
					if (!line.starts_with(std::string(key) + "/"))
						continue;
					line = line.substr(key.size());
					EXPECT_TRUE(fs::exists("/run/lab/dest" +
							       line.substr(0, line.find(' '))))
						<< line;
					named++;
				}
		}
		EXPECT_GE(named, 8U);
		const Output removed = make("uninstall");
		ASSERT_EQ(removed.status, 0) << removed.err;
		EXPECT_EQ(files_below("/run/lab/dest"),
			  std::vector<std::string>{"/run/lab/dest/usr/sbin/other"});
	});
}

TEST(Units, BashCompletesCommandsOptionsAndWords)
{
	in_lab([] {
		const Netns here("here");
		const auto completed = [&](const std::string &words, int last) {
			const std::string script = ". " + packaging() +
						   "/anycast-xdp.bash-completion\nCOMP_WORDS=(" +
						   Cli().binary() + " " + words +
						   ")\nCOMP_CWORD=" + std::to_string(last) +
						   "\n_anycast_xdp 2>&1\necho \"${COMPREPLY[*]}\"";
			return run(here, {"bash", "-c", script}).out;
		};
		EXPECT_EQ(completed("stat", 1), "status stats\n");
		EXPECT_EQ(completed("backend dr", 2), "drain\n");
		EXPECT_EQ(completed("--json loss --wa", 3), "--watch\n");
		EXPECT_EQ(completed("attach eth0 --dry", 3), "--dry-run\n");
		EXPECT_EQ(completed("loss --by v", 3), "vip\n");
		EXPECT_EQ(completed("status --dev l", 3), "lo\n");
		EXPECT_EQ(completed("apply --socke", 2), "--socket\n");
	});
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
