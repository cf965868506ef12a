// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lab itself: routing comes up, traffic flows, and nothing stays behind.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "support/in_lab.h"
#include "support/lab.h"

namespace anycast::test {

namespace {

namespace fs = std::filesystem;

std::set<std::string> entries(const fs::path &directory)
{
	std::set<std::string> names;
	std::error_code ignored;
	for (const auto &entry : fs::directory_iterator(directory, ignored))
		names.insert(entry.path().filename());
	return names;
}

ino_t netns_inode(const std::string &process)
{
	struct stat info {};
	return stat(("/proc/" + process + "/ns/net").c_str(), &info) ? 0 : info.st_ino;
}

bool any_process_in(const std::set<ino_t> &namespaces)
{
	for (const std::string &name : entries("/proc"))
		if (namespaces.contains(netns_inode(name)))
			return true;
	return false;
}

// What the host could see of a lab.
struct Host {
	std::set<std::string> links = entries("/sys/class/net");
	std::set<std::string> pins = entries("/sys/fs/bpf");
	std::set<std::string> named = entries("/run/netns");
	std::set<std::string> run = entries("/run");
	bool operator==(const Host &) const = default;
};

// The lab tells the test which namespaces it made, through a file both can see.
class Census {
public:
	Census() : path_(fs::temp_directory_path() / ("lab-test-" + std::to_string(getpid()))) {}
	~Census() { fs::remove(path_); }
	Census(const Census &) = delete;
	Census &operator=(const Census &) = delete;

	void write(const Lab &lab) const
	{
		std::ofstream out(path_);
		const auto add = [&](const Netns &netns) {
			struct stat info {};
			fstat(netns.fd(), &info);
			out << info.st_ino << "\n";
		};
		for (const Netns *netns : {&lab.client, &lab.router, &lab.fabric})
			add(*netns);
		for (const auto *group : {&lab.edges, &lab.backends})
			for (const auto &node : *group)
				add(node->netns);
	}
	[[nodiscard]] std::set<ino_t> read() const
	{
		std::set<ino_t> inodes;
		std::ifstream in(path_);
		for (ino_t inode; in >> inode;)
			inodes.insert(inode);
		return inodes;
	}

private:
	fs::path path_;
};

constexpr std::uint64_t kSmall = 1 << 20;

} // namespace

TEST(Lab, RoutesToBothEdgesAndLeavesNothingBehind)
{
	const Host before;
	const Census census;
	in_lab([&] {
		Lab lab(kSmall);
		lab.start_routing();
		census.write(lab);
		EXPECT_EQ(lab.next_hops(), 2u);
		EXPECT_TRUE(lab.sessions_established());
		EXPECT_EQ(lab.edges[0]->bird->sessions().at("upstream"), "Established");

		lab.stop_edge(1, false);
		EXPECT_TRUE(lab.await_next_hops(1, milliseconds(5000))) << "BFD finds a dead edge";
		lab.start_edge(1);
		EXPECT_EQ(lab.next_hops(), 2u);
	});
	EXPECT_EQ(census.read().size(), 8u);
	EXPECT_FALSE(any_process_in(census.read()));
	EXPECT_TRUE(Host() == before);
}

TEST(Lab, ServersAnswerAndDropperCounts)
{
	in_lab([] {
		Lab lab(kSmall);
		lab.start_servers();
		// A plain route instead of an edge.
		lab.router.ip(std::string("route add ") + kVip + " via " +
			      lab.backends[1]->address);

		const Reply reply = http_get(lab.client, kWww, "/");
		EXPECT_EQ(reply.body, "b2\n") << reply.error;
		const Download got = http_download(lab.client, kWww, "/big", "/run/lab/copy",
						   64 << 20, [](std::uint64_t) {});
		EXPECT_EQ(got.bytes, kSmall) << got.error;
		EXPECT_EQ(sha256(lab.client, "/run/lab/copy"), lab.big_sha256);

		lab.programs.drop(1, 200, kVip, kSink.port);
		const Upload sent = upload(lab.client, kSink, 4 << 20);
		EXPECT_TRUE(sent.ok) << sent.error;
		EXPECT_EQ(sent.sink, "b2");
		const DropperCounts dropped = lab.programs.dropped();
		const double rate = static_cast<double>(dropped.first_lost + dropped.again_lost) /
				    static_cast<double>(dropped.segments);
		EXPECT_NEAR(rate, 0.02, 0.01);
		EXPECT_GT(dropped.first_lost, 0u);
	});
}

TEST(Lab, DiesWithItsParent)
{
	const Census census;
	const pid_t parent = fork();
	ASSERT_GE(parent, 0);
	if (parent == 0) {
		run_isolated([&] {
			const Lab lab(kSmall);
			const Process busy = Process::spawn(
				lab.client, {"busybox", "sleep", "1000"}, "/run/lab/sleep.log");
			census.write(lab);
			pause();
			return 0;
		});
		_exit(1);
	}
	EXPECT_TRUE(wait_until(milliseconds(10000), [&] { return census.read().size() == 8; }));
	EXPECT_TRUE(any_process_in(census.read()));
	kill(parent, SIGKILL);
	waitpid(parent, nullptr, 0);
	EXPECT_TRUE(wait_until(milliseconds(5000), [&] { return !any_process_in(census.read()); }));
}

TEST(Lab, InterruptEndsItFirst)
{
	const Census census;
	const pid_t parent = fork();
	ASSERT_GE(parent, 0);
	if (parent == 0) {
		signal(SIGINT, SIG_DFL);
		run_isolated([&] {
			const Lab lab(kSmall);
			census.write(lab);
			pause();
			return 0;
		});
		_exit(1);
	}
	EXPECT_TRUE(wait_until(milliseconds(10000), [&] { return census.read().size() == 8; }));
	kill(parent, SIGINT);
	int status = 0;
	waitpid(parent, &status, 0);
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
	EXPECT_FALSE(any_process_in(census.read()));
}

} // namespace anycast::test
