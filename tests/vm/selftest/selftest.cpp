// Stand-in suite of the VM harness: proves that a guest can do what our real suites need.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

std::string g_object;

class Guest : public ::testing::Test {
protected:
	void SetUp() override
	{
		object_ = bpf_object__open_file(g_object.c_str(), nullptr);
		ASSERT_NE(object_, nullptr) << g_object;
		ASSERT_EQ(bpf_object__load(object_), 0);
		drop_ = program("drop_all");
		pass_ = program("pass_all");
		seen_ = bpf_object__find_map_fd_by_name(object_, "seen");
	}
	void TearDown() override { bpf_object__close(object_); }
	int program(const char *name)
	{
		return bpf_program__fd(bpf_object__find_program_by_name(object_, name));
	}
	static __u32 run(int fd)
	{
		std::array<char, 64> frame{};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data(),
			    .data_size_in = frame.size(), .repeat = 1);
		EXPECT_EQ(bpf_prog_test_run_opts(fd, &opts), 0);
		return opts.retval;
	}

	bpf_object *object_ = nullptr;
	int drop_ = -1, pass_ = -1, seen_ = -1;
};

TEST_F(Guest, HasKernelBtf)
{
	EXPECT_EQ(access("/sys/kernel/btf/vmlinux", R_OK), 0);
}

TEST_F(Guest, RunsProgramsAndSharesMemoryWithThem)
{
	void *mapped = mmap(nullptr, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, seen_, 0);
	ASSERT_NE(mapped, MAP_FAILED);
	EXPECT_EQ(run(drop_), static_cast<__u32>(XDP_DROP));
	EXPECT_EQ(run(pass_), static_cast<__u32>(XDP_PASS));
	EXPECT_EQ(*static_cast<volatile __u64 *>(mapped), 1u);
}

TEST_F(Guest, AttachesToVethAndReplacesAtomically)
{
	ASSERT_EQ(std::system("ip link add axvm0 type veth peer name axvm1 && ip link set axvm0 up "
			      "&& ip link set axvm1 up"),
		  0);
	unsigned ifindex = if_nametoindex("axvm0");
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	int link = bpf_link_create(drop_, static_cast<int>(ifindex), BPF_XDP, &opts);
	EXPECT_GE(link, 0);
	EXPECT_EQ(bpf_link_update(link, pass_, nullptr), 0);
	bpf_link_info info{};
	__u32 size = sizeof(info);
	EXPECT_EQ(bpf_obj_get_info_by_fd(link, &info, &size), 0);
	EXPECT_EQ(info.xdp.ifindex, ifindex);
	close(link);
	EXPECT_EQ(std::system("ip link del axvm0"), 0);
}

TEST_F(Guest, PinsInBpffs)
{
	EXPECT_EQ(bpf_obj_pin(seen_, "/sys/fs/bpf/axvm_seen"), 0);
	EXPECT_EQ(unlink("/sys/fs/bpf/axvm_seen"), 0);
}

TEST(Lab, BuildsTunnelsVlansBridgesAndNetem)
{
	for (const char *command : {
		     "ip link add axdummy type dummy && ip addr replace 192.0.2.1/32 dev axdummy "
		     "&& ip link del axdummy",
		     "ip link add axbr type bridge && ip link del axbr",
		     "ip link add axipip type ipip local 192.0.2.1 remote 192.0.2.2 && ip link del "
		     "axipip",
		     "ip link add axsit type sit local 192.0.2.1 remote 192.0.2.2 && ip link del "
		     "axsit",
		     "ip link add ax6 type ip6tnl mode any local 2001:db8::1 remote 2001:db8::2 && "
		     "ip link del ax6",
		     "ip fou add port 5555 ipproto 4 && ip fou del port 5555",
		     "ip link add axv0 type veth peer name axv1 && ip link add link axv0 name "
		     "axv0.7 type vlan id 7 && "
		     "tc qdisc add dev axv0 root netem delay 1ms && tc qdisc add dev axv0 clsact "
		     "&& ip link del axv0",
		     "ip netns add axvm && nsenter --net=/run/netns/axvm ip link set lo up && ip "
		     "netns del axvm",
		     "bpftool version >/dev/null && ethtool --version >/dev/null",
	     })
		EXPECT_EQ(std::system(command), 0) << command;
}

} // namespace

int main(int argc, char **argv)
{
	::testing::InitGoogleTest(&argc, argv);
	g_object = std::string(argv[0]) + ".bpf.o";
	int code = RUN_ALL_TESTS();
	const auto &unit = *::testing::UnitTest::GetInstance();
	std::printf("%d passed, %d failed, %d skipped\n", unit.successful_test_count(),
		    unit.failed_test_count(), unit.skipped_test_count());
	return code;
}
