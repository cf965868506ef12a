// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What the tests of attach and apply share. For use inside in_lab().
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "kernel/attachment.h"
#include "kernel/pins.h"
#include "support/in_lab.h"

namespace anycast::test {

inline const Paths kPaths;
inline const AttachOptions kAuto;

inline void sh(const std::string &command)
{
	if (std::system(command.c_str()) != 0)
		throw LabError("failed: " + command);
}

// dev0, up, with the address 10.1.0.1/24; its peer is dev1.
inline void make_veth()
{
	sh("ip link set lo up");
	sh("ip link add dev0 type veth peer name dev1");
	sh("ip link set dev0 up && ip link set dev1 up && ip addr add 10.1.0.1/24 dev dev0");
}

inline Config config_of(std::size_t vips, std::size_t backends_each)
{
	Config config;

	config.hash_seed = {1, 2};
	config.limits = {
		.flows_v4 = 1024, .flows_v6 = 1024, .vips = 16, .pools = 16, .backends = 128};
	for (std::size_t p = 0; p < vips; ++p) {
		Pool pool{.name = fmt::format("pool{}", p), .table_size = 65537, .backends = {}};
		for (std::size_t b = 0; b < backends_each; ++b) {
			Backend backend;
			backend.address =
				*Address::parse(fmt::format("10.1.0.{}", 10 + p * 16 + b));
			backend.name = backend.address.text();
			pool.backends.push_back(backend);
		}
		config.pools.push_back(pool);
		config.vips.push_back(
			{.name = fmt::format("vip{}", p),
			 .address = *Address::parse(fmt::format("198.51.100.{}", p + 1)),
			 .port = 80,
			 .pool = pool.name});
	}
	return config;
}

inline const Config kSmall = config_of(1, 2);

inline AttachReport attached(const std::string &device, const Config &config = kSmall,
			     const AttachOptions &options = kAuto)
{
	auto report = attach(kPaths, device, config, options);
	if (!report)
		throw LabError("attach: " + report.error().message());
	return *report;
}

inline Error refused(const Config &config = kSmall, const AttachOptions &options = kAuto,
		     const std::string &device = "dev0")
{
	auto report = attach(kPaths, device, config, options);
	if (report)
		throw LabError("attach should have been refused");
	return report.error();
}

inline Instance opened(const std::string &device = "dev0")
{
	auto instance = open_instance(kPaths, device);
	if (!instance)
		throw LabError("open: " + instance.error().message());
	return std::move(*instance);
}

inline Attached hook_of(const std::string &device)
{
	auto attached = query(kPaths, device);
	if (!attached)
		throw LabError("query: " + attached.error().message());
	return *attached;
}

// Everything that attach may leave on the machine; the kernel's own files in bpffs aside.
inline std::vector<std::string> traces()
{
	namespace fs = std::filesystem;
	std::vector<std::string> found;

	for (const std::string &root : {kPaths.pins, kPaths.state}) {
		std::error_code ignored;
		for (const auto &entry : fs::recursive_directory_iterator(root, ignored))
			found.push_back(entry.path());
	}
	return found;
}

inline Fd foreign_program()
{
	const bpf_insn code[] = {
		{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS},
		{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
	};
	return Fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", code, 2, nullptr));
}

} // namespace anycast::test
