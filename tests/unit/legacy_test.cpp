// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The build for kernels before 5.6, of which none can be had: what it must not hold.
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gelf.h>
#include <gmock/gmock.h>
#include <linux/bpf.h>

#include <anycast_xdp/abi.h>

#include "anycast.skel.h"
#include "anycast_legacy.skel.h"

namespace anycast {

namespace {

constexpr int kLastHelperOf54 = 110;	 // BPF_FUNC_tcp_gen_syncookie
constexpr std::uint8_t kAtomic = 0xdb;	 // BPF_STX | BPF_DW | BPF_ATOMIC
constexpr std::uint8_t kAtomic32 = 0xc3; // its half

struct Code {
	std::vector<bpf_insn> instructions;
	std::set<std::string> global_functions;

	[[nodiscard]] std::set<int> helpers() const
	{
		std::set<int> numbers;
		for (const bpf_insn &insn : instructions)
			if (insn.code == (BPF_JMP | BPF_CALL) && insn.src_reg == 0)
				numbers.insert(insn.imm);
		return numbers;
	}
};

Code code_of(const void *bytes, std::size_t size)
{
	std::vector<char> image(static_cast<const char *>(bytes),
				static_cast<const char *>(bytes) + size);
	Code code;
	elf_version(EV_CURRENT);
	Elf *elf = elf_memory(image.data(), image.size());

	for (Elf_Scn *section = nullptr; (section = elf_nextscn(elf, section));) {
		GElf_Shdr header;
		gelf_getshdr(section, &header);
		const Elf_Data *data = elf_getdata(section, nullptr);
		if (header.sh_type == SHT_PROGBITS && (header.sh_flags & SHF_EXECINSTR)) {
			const std::size_t count = data->d_size / sizeof(bpf_insn);
			const std::size_t old = code.instructions.size();
			code.instructions.resize(old + count);
			std::memcpy(&code.instructions[old], data->d_buf, data->d_size);
		}
		if (header.sh_type != SHT_SYMTAB)
			continue;
		for (std::size_t i = 0; i < header.sh_size / header.sh_entsize; i++) {
			GElf_Sym symbol;
			gelf_getsym(const_cast<Elf_Data *>(data), static_cast<int>(i), &symbol);
			if (GELF_ST_TYPE(symbol.st_info) == STT_FUNC &&
			    GELF_ST_BIND(symbol.st_info) == STB_GLOBAL)
				code.global_functions.insert(
					elf_strptr(elf, header.sh_link, symbol.st_name));
		}
	}
	elf_end(elf);
	return code;
}

Code legacy()
{
	std::size_t size = 0;
	const void *bytes = anycast_legacy_bpf__elf_bytes(&size);
	return code_of(bytes, size);
}

} // namespace

TEST(LegacyBuild, CallsNoHelperThatLinux54DoesNotKnow)
{
	const std::set<int> helpers = legacy().helpers();
	EXPECT_THAT(helpers, testing::Contains(BPF_FUNC_map_lookup_elem));
	EXPECT_THAT(helpers, testing::Contains(BPF_FUNC_perf_event_output));
	EXPECT_LE(*helpers.rbegin(), kLastHelperOf54);

	std::size_t size = 0;
	const void *bytes = anycast_bpf__elf_bytes(&size);
	EXPECT_THAT(code_of(bytes, size).helpers(), testing::Contains(BPF_FUNC_jiffies64))
		<< "else this test sees no calls";
}

TEST(LegacyBuild, HasNoFunctionOfItsOwnVerification)
{
	EXPECT_THAT(legacy().global_functions, testing::ElementsAre("anycast"));
}

// Atomic additions (xadd) are as old as eBPF; what returns a value came with 5.12.
TEST(LegacyBuild, UsesNoLaterInstruction)
{
	const Code code = legacy();
	ASSERT_GT(code.instructions.size(), 5000U);
	for (const bpf_insn &insn : code.instructions) {
		if (insn.code == kAtomic || insn.code == kAtomic32) {
			EXPECT_EQ(insn.imm, 0) << "only xadd";
		}
	}
}

} // namespace anycast
