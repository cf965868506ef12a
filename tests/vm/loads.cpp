// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Loads the program in every role from each object it is given: what it costs the verifier.
//   usage: vm_loads --object=FILE...      (anycast.COMPILER.bpf.o, anycast_legacy.COMPILER.bpf.o,
//                                          egress.COMPILER.bpf.o, which knows no roles)
// Prints `@load COMPILER ROLE INSTRUCTIONS MILLISECONDS` lines, which tests/vm/verified collects.
#include <sys/utsname.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <anycast_xdp/abi.h>

namespace {

constexpr unsigned long kLimit = 100000; // on 6.1 and newer
// Of the build for kernels before 5.6. They take a million, and follow every switch both ways.
constexpr unsigned long kLegacyLimit = 800000;

struct Close {
	void operator()(bpf_object *object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, Close>;

struct Role {
	const char *name;
	std::uint32_t bits; // 0: none
};
constexpr std::array<Role, 3> kRoles = {{
	{"edge", AX_ROLE_EDGE},
	{"backend", AX_ROLE_BACKEND},
	{"both", AX_ROLE_EDGE | AX_ROLE_BACKEND},
}};
constexpr Role kEgress{"egress", 0};

bool limited()
{
	utsname name{};
	int major = 0, minor = 0;

	return ::uname(&name) == 0 && std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 1));
}

// Sets a read-only switch by its name, as the skeleton would.
bool set_switch(bpf_object *object, const char *name, std::uint32_t value)
{
	const btf *types = bpf_object__btf(object);
	bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	const int section = btf__find_by_name_kind(types, ".rodata", BTF_KIND_DATASEC);
	std::size_t size = 0;

	if (!map || section < 0)
		return false;
	const auto *initial = static_cast<const char *>(bpf_map__initial_value(map, &size));
	std::vector<char> bytes(initial, initial + size);
	const btf_type *type = btf__type_by_id(types, static_cast<std::uint32_t>(section));
	const btf_var_secinfo *variable = btf_var_secinfos(type);
	for (int i = 0; i < btf_vlen(type); i++, variable++) {
		const btf_type *what = btf__type_by_id(types, variable->type);
		if (std::strcmp(btf__name_by_offset(types, what->name_off), name) != 0)
			continue;
		std::memcpy(bytes.data() + variable->offset, &value, sizeof(value));
		return bpf_map__set_initial_value(map, bytes.data(), size) == 0;
	}
	return false;
}

// By the kernel's own account (5.16), which some logs of 7.x keep by function; else by the log.
unsigned long verified(const bpf_program *program, const char *log)
{
	bpf_prog_info info{};
	std::uint32_t size = sizeof(info);
	const char *processed = std::strstr(log, "processed ");

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0 &&
	    info.verified_insns != 0)
		return info.verified_insns;
	return processed ? std::strtoul(processed + std::strlen("processed "), nullptr, 10) : 0;
}

std::string compiler_of(const std::string &path)
{
	const std::string file = path.substr(path.rfind('/') + 1);
	const std::size_t first = file.find('.');

	return file.substr(first + 1, file.find(".bpf.o") - first - 1);
}

bool is_legacy(const std::string &path)
{
	return path.find("_legacy.") != std::string::npos;
}

bool is_egress(const std::string &path)
{
	return path.find("/egress.") != std::string::npos;
}

// False, with the reason printed, if it does not load or costs too much.
bool load(const std::string &path, const Role &role)
{
	static std::array<char, 1 << 16> log; // the summary only
	const std::string compiler = compiler_of(path);
	Object object(bpf_object__open_file(path.c_str(), nullptr));

	if (!object || (role.bits && !set_switch(object.get(), "ax_role", role.bits))) {
		std::printf("%s: cannot be opened\n", path.c_str());
		return false;
	}
	bpf_program *program = bpf_object__find_program_by_name(
		object.get(), is_egress(path) ? "anycast_egress" : "anycast");
	log[0] = '\0';
	bpf_program__set_log_level(program, 4); // counts, and nothing else
	bpf_program__set_log_buf(program, log.data(), log.size());

	const auto began = std::chrono::steady_clock::now();
	const int error = bpf_object__load(object.get());
	const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
		std::chrono::steady_clock::now() - began);
	const unsigned long instructions = verified(program, log.data());
	std::printf("@load %s %s%s %lu %lld%s\n", compiler.c_str(),
		    is_legacy(path) ? "legacy-" : "", role.name, instructions,
		    static_cast<long long>(took.count()), error ? " refused" : "");
	if (error) {
		std::printf("%s\n%s\n", std::strerror(-error), log.data());
		return false;
	}
	const unsigned long limit = is_legacy(path) ? kLegacyLimit : limited() ? kLimit : ~0UL;
	if (instructions == 0 || instructions > limit) {
		std::printf("more than %lu verified instructions, or none counted\n", limit);
		return false;
	}
	return true;
}

} // namespace

int main(int argc, char **argv)
{
	int passed = 0, failed = 0;
	bool other_legacy = false;

	libbpf_set_print(nullptr);
	for (int i = 1; i < argc; i++) {
		const std::string argument = argv[i];
		const std::string path = argument.substr(argument.find('=') + 1);
		// Newer kernels are never given it.
		if (is_legacy(path) && limited())
			continue;
		if (is_egress(path)) {
			++(load(path, kEgress) ? passed : failed);
			continue;
		}
		for (const Role &role : kRoles) {
			// It takes an emulated guest half a minute: once by every compiler, in the
			// role that has all stages, and in every role by the first.
			if (is_legacy(path) && other_legacy && &role != &kRoles.back())
				continue;
			++(load(path, role) ? passed : failed);
		}
		other_legacy |= is_legacy(path);
		std::fflush(stdout);
	}
	std::printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed ? 1 : 0;
}
