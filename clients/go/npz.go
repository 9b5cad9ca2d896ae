package assay

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/assay-ml/assay/clients/go/assayv1"
)

// headerMax is the longest header of an array that is read, in bytes.
const headerMax = 1 << 20

// array is an array of NumPy, as far as cases are made of it.
type array struct {
	dtype string
	shape []uint64
	data  []byte
}

// elements are the types of arrays that become inputs, by NumPy's name.
var elements = map[string]struct {
	kind assayv1.DataType
	size uint64
}{
	"<f4": {assayv1.DataType_DATA_TYPE_FLOAT32, 4},
	"<f8": {assayv1.DataType_DATA_TYPE_FLOAT64, 8},
	"<i4": {assayv1.DataType_DATA_TYPE_INT32, 4},
	"<i8": {assayv1.DataType_DATA_TYPE_INT64, 8},
	"|u1": {assayv1.DataType_DATA_TYPE_UINT8, 1},
	"|b1": {assayv1.DataType_DATA_TYPE_BOOL, 1},
}

// ReadNPZ reads cases from an .npz of NumPy: an array `x` with a row for each, and an array `y` of class indices (whole
// numbers) or values (fractions), which may be missing. The cases are called by their row from 0.
func ReadNPZ(path string) ([]*Case, error) {
	file, err := zip.OpenReader(path)
	if err != nil {
		return nil, invalid("cases", fmt.Sprintf("%s: %v", path, err), err)
	}
	defer file.Close()
	arrays := map[string]*array{}
	for _, entry := range file.File {
		if entry.Name != "x.npy" && entry.Name != "y.npy" {
			continue
		}
		if arrays[entry.Name], err = readEntry(entry); err != nil {
			return nil, invalid("cases", fmt.Sprintf("%s, %s: %v", path, entry.Name, err), err)
		}
	}
	cases, err := casesOf(arrays["x.npy"], arrays["y.npy"])
	if err != nil {
		return nil, invalid("cases", fmt.Sprintf("%s: %v", path, err), err)
	}
	return cases, nil
}

func casesOf(x, y *array) ([]*Case, error) {
	if x == nil || len(x.shape) == 0 {
		return nil, fmt.Errorf("has no array x with a row for each case")
	}
	if y != nil && (len(y.shape) != 1 || y.shape[0] != x.shape[0]) {
		return nil, fmt.Errorf("y has the shape %v, one answer was expected for each of %d rows", y.shape, x.shape[0])
	}
	cases := make([]*Case, x.shape[0])
	for i := range cases {
		length := len(x.data) / len(cases)
		row := x.data[i*length : (i+1)*length]
		tensor := &assayv1.Tensor{DataType: elements[x.dtype].kind, Shape: x.shape[1:], Data: row}
		input := &Value{Value: &assayv1.Value_Tensor{Tensor: tensor}}
		cases[i] = &Case{Id: strconv.Itoa(i), Inputs: map[string]*Value{"x": input}}
		if y != nil {
			if err := expect(cases[i], y, i); err != nil {
				return nil, err
			}
		}
	}
	return cases, nil
}

// expect sets the answer in a row of y.
func expect(next *Case, y *array, row int) error {
	label := int64(0)
	read := func(into any) { _, _ = binary.Decode(y.data[row*binary.Size(into):], binary.LittleEndian, into) }
	switch y.dtype {
	case "<f4":
		value := float32(0)
		read(&value)
		next.Expected = Number(float64(value))
		return nil
	case "<f8":
		value := float64(0)
		read(&value)
		next.Expected = Number(value)
		return nil
	case "<i4":
		short := int32(0)
		read(&short)
		label = int64(short)
	case "<i8":
		read(&label)
	default:
		label = int64(y.data[row])
	}
	if label < 0 {
		return fmt.Errorf("row %d has the label %d; classes start at 0", row, label)
	}
	next.Expected = ClassIndex(uint64(label))
	return nil
}

var (
	descr = regexp.MustCompile(`'descr':\s*'([^']*)'`)
	order = regexp.MustCompile(`'fortran_order':\s*False`)
	shape = regexp.MustCompile(`'shape':\s*\(([0-9, ]*)\)`)
)

// readEntry reads an .npy: a magic word, a version, the header's length, the header as a dictionary of Python, the data.
func readEntry(entry *zip.File) (*array, error) {
	file, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	start := make([]byte, 10)
	if _, err := io.ReadFull(file, start); err != nil || !bytes.HasPrefix(start, []byte("\x93NUMPY")) {
		return nil, fmt.Errorf("is no array of NumPy")
	}
	length := int64(binary.LittleEndian.Uint16(start[8:]))
	if start[6] > 1 {
		// Later versions have two more bytes of length.
		more := make([]byte, 2)
		if _, err := io.ReadFull(file, more); err != nil {
			return nil, err
		}
		length += int64(binary.LittleEndian.Uint16(more)) << 16
	}
	if length > headerMax {
		return nil, fmt.Errorf("its header has %d bytes, at most %d are read", length, headerMax)
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(file, header); err != nil {
		return nil, err
	}
	found, size, err := parseHeader(string(header))
	if err != nil {
		return nil, err
	}
	// No more than the archive has is taken into memory, whatever the header says.
	if found.data, err = io.ReadAll(io.LimitReader(file, int64(size)+1)); err != nil {
		return nil, err
	}
	if uint64(len(found.data)) != size {
		return nil, fmt.Errorf("its shape %v needs %d bytes, it has another number", found.shape, size)
	}
	return found, nil
}

// parseHeader gives the array without its data, and how many bytes those have.
func parseHeader(header string) (*array, uint64, error) {
	kind, lengths := descr.FindStringSubmatch(header), shape.FindStringSubmatch(header)
	if kind == nil || lengths == nil || !order.MatchString(header) {
		return nil, 0, fmt.Errorf("its header is %q, an array of numbers in C order was expected", header)
	}
	found, size := &array{dtype: kind[1]}, elements[kind[1]].size
	if size == 0 {
		return nil, 0, fmt.Errorf("has the type %s; float32, float64, int32, int64, uint8 or bool was expected", kind[1])
	}
	for _, text := range strings.FieldsFunc(lengths[1], func(r rune) bool { return r == ',' || r == ' ' }) {
		length, err := strconv.ParseUint(text, 10, 31)
		if err != nil || (length > 0 && size > 1<<40/length) {
			return nil, 0, fmt.Errorf("its shape is (%s), which is too large", lengths[1])
		}
		found.shape, size = append(found.shape, length), size*length
	}
	return found, size, nil
}
